// pmrun loads this into Node's workers before their own code (`drain_timeout: 0` leaves it out). When a worker is to be
// replaced, node closes at once every connection on which nothing is being asked: also those on which the question is on
// its way. Here they are left open for a moment, and each answer says that it was the last on its connection. And a worker at
// whose channel nobody is any more does not exit, as node has it do: the next daemon finds it.
'use strict'

const cluster = require('cluster')
const { isMainThread } = require('worker_threads')

const GRACE_MS = 500

if (cluster.isWorker && isMainThread) {
  // In homes of PM2's, where they end no app: the words that its users look for.
  if (process.execArgv.includes('--unhandled-rejections=warn')) {
    process.on('unhandledRejection', (reason) => {
      console.error('You have triggered an unhandledRejection, you may have forgotten to catch a Promise rejection:')
      console.error(reason)
    })
  }
  let draining = false
  const drain = () => {
    draining = true
    const net = require('net')
    for (const { Server } of [require('http'), require('https')]) {
      const closeIdle = Server.prototype.closeIdleConnections
      if (typeof closeIdle !== 'function') continue
      Server.prototype.closeIdleConnections = function () {}
      Server.prototype.close = function (...parts) {
        setTimeout(() => closeIdle.call(this), GRACE_MS).unref()
        net.Server.prototype.close.apply(this, parts)
        return this
      }
    }
    require('diagnostics_channel').subscribe('http.server.request.start', ({ response }) => {
      response.shouldKeepAlive = false
    })
  }
  // Whom nobody can tell any more to leave is sent a signal. Where the app has no way of its own with that, it is as if it had
  // been told: it ends by that signal when what it has begun is done.
  const heed = (signal) => {
    const leave = () => {
      if (draining || process.listenerCount(signal) > 1) return
      // What node calls when all is closed.
      process.disconnect = () => {
        process.removeListener(signal, leave)
        process.kill(process.pid, signal)
      }
      process.emit('internalMessage', { cmd: 'NODE_CLUSTER', act: 'disconnect' })
    }
    process.on(signal, leave)
  }
  // Before node's own listener, which exits unless the worker was to leave.
  process.prependListener('disconnect', () => {
    if (!cluster.worker || cluster.worker.exitedAfterDisconnect) return
    cluster.worker.exitedAfterDisconnect = true
    heed('SIGINT')
    heed('SIGTERM')
  })
  // Before node's own listener, which closes the servers.
  process.prependListener('internalMessage', (message) => {
    const { cmd, act } = message || {}
    // A daemon that follows may ask once more: node would close the channel at once, with answers still to come.
    if (draining && cmd === 'NODE_CLUSTER' && act === 'disconnect') message.act = 'again'
    // The second comes before 'shutdown': the app closes its servers itself.
    if (!draining && ((cmd === 'NODE_CLUSTER' && act === 'disconnect') || cmd === 'NODE_PMRUN_DRAIN')) drain()
  })
}
