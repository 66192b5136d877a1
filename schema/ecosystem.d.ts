// Types of a pmrun ecosystem file, made from pmrun's option table; `pmrun schema --format ts` prints them.
//
// In a `.js` file, with this file beside it as `pmrun.d.ts`:
//
//     // @ts-check
//     /** @type {import("./pmrun").Config} */
//     const config = { apps: [{ name: "api", script: "./api.js" }] };
//     module.exports = config;

/** What a config exports: an ecosystem, a list of apps, one app, or a function or promise of one of these. */
export type Config = Plain | Promise<Plain> | ((given: Given) => Plain | Promise<Plain>);

type Plain = Ecosystem | Folders | App[] | App;

/** What an exported function is called with. */
export interface Given {
  /** The variables of the shell that runs pmrun. */
  env: Record<string, string | undefined>;
  /** The profile of `--env`; without one `NODE_ENV`, where that is set. */
  mode?: string;
}

/** Returns what it is given: it is there for its types. */
export declare function defineConfig<T extends Config>(config: T & Config): T;

export interface Ecosystem {
  /** The apps: a list, or one. */
  apps: App[] | App;
  /** Folders that are served, each by an app of its own. */
  static?: Folder[];
  /** What the ecosystem is called: what `apply` prunes by. Default: the folder that holds the file. */
  name?: string | null;
  /** Where the ecosystem is deployed to. Not honoured yet: nothing is deployed. */
  deploy?: Record<string, Deployment>;
  $schema?: string;
}

/** Nothing but folders that are served. */
export interface Folders extends Omit<Ecosystem, "apps" | "static"> {
  static: Folder[];
}

/** A folder that is served. */
export interface Folder {
  name?: string;
  path?: string;
  port?: number | string;
  host?: string;
  spa?: boolean;
  ftp?: boolean;
  basic_auth?: { username: string; password: string };
}

/** Carried along and not looked at. */
export interface Deployment {
  user?: string;
  host?: string | string[];
  key?: string;
  port?: number | string;
  ssh_options?: string | string[];
  ref?: string;
  repo?: string;
  path?: string;
  env?: Variables;
  "pre-setup"?: string;
  "post-setup"?: string;
  "pre-deploy-local"?: string;
  "pre-deploy"?: string;
  "post-deploy"?: string;
  [key: string]: unknown;
}

/** Numbers and booleans become text, lists and objects JSON. */
export type Variables = Record<string, string | number | boolean | object | null | undefined>;

/** One app. */
export interface App extends OtherSpellings {
  /**
   * The program: a path against `cwd`, a name in PATH, or a whole command line (then a shell runs it).
   * @example "./server.js"
   * @example "npm start"
   */
  script?: string | null;
  /**
   * What the app is called, unique on the machine. Without it: the script's file name less its ending. Default: the script's name.
   * @example "api"
   */
  name?: string | null;
  /**
   * A group of apps that commands can name at once.
   * @default "default"
   * @example "backend"
   */
  namespace?: string | false | null;
  /**
   * The folder the app runs in, against the folder of this file; `~` is the home folder. Default: the file's folder.
   * @example "./api"
   * @example "/srv/api"
   */
  cwd?: string | false | null;
  /**
   * Arguments after the script: a list, or a string that is split at white space.
   * @example ["--port", "3000"]
   * @example "--port 3000"
   */
  args?: (string | number | boolean)[] | string | false | null;
  /**
   * What runs the script, a name in PATH or a path; `none` runs it directly. Without it the file's ending or first line decides. Default: by the script's ending.
   * @example "python3"
   * @example "none"
   */
  interpreter?: string | false | null;
  /**
   * Arguments for the interpreter, before the script.
   * @example ["--enable-source-maps"]
   */
  node_args?: (string | number | boolean)[] | string | false | null;
  /**
   * Keeps Node from reading the script's source map, which it reads where the script has one.
   * @default false
   * @example true
   */
  disable_source_map_support?: boolean | null;
  /**
   * Variables, on top of those of the shell that runs `pmrun apply`. Numbers and booleans become text, objects JSON.
   * @example {"NODE_ENV": "development", "PORT": 3000}
   */
  env?: Variables | false | null;
  /**
   * Variables that win over `env` when `--env <name>` is given.
   * @example {"NODE_ENV": "production"}
   */
  [overlay: `env_${string}`]: Variables | false | null | string | string[] | undefined;
  /**
   * Files of `NAME=value` lines, read before `env`, against `cwd`; later files win.
   * @example ".env"
   * @example [".env", ".env.local"]
   */
  env_file?: string[] | string | false | null;
  /**
   * Variables of the shell whose name contains one of these texts are not passed on.
   * @example ["AWS_", "SECRET"]
   */
  filter_env?: string[] | string | false | null;
  /**
   * Sockets that are opened before the app starts, stay open while it is started anew, and are passed to it as descriptors from 3 on (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES): a reload starts the new process beside the old one.
   * @example "tcp:0.0.0.0:8000"
   * @example ["web=tcp:[::]:8000", "unix:/run/app.sock", "udp:127.0.0.1:5353"]
   */
  listen?: string[] | string | false | null;
  /**
   * How the instances in cluster mode share out who connects. With deno `reuseport` and `shared` are `round_robin`.
   * * `reuseport`: The system does, by a socket for each instance: nothing is faster.
   * * `shared`: Whoever is idle first takes the next, from one socket.
   * * `round_robin`: pmrun accepts, and gives each to the instance that has the fewest on their way to it, in turn.
   * * `sticky`: As `round_robin`, but who comes from one address comes to one instance as long as that is there. By a path, where nobody has an address, as `round_robin`.
   * @default "reuseport"
   * @example "round_robin"
   */
  distribution?: "reuseport" | "shared" | "round_robin" | "sticky" | false | null;
  /**
   * Sets the variable PORT, and wins over `env`. A whole number from 0 to 65535.
   * @example 3000
   */
  port?: number | string | false | null;
  /**
   * How many copies run: a number, `max` or 0 for one a CPU that may be used (by CPU affinity and the cgroup's quota, which `explain` names), -1 for one less than that, `50%` for half as many.
   * @default 1
   * @example 2
   * @example "max"
   * @example -1
   * @example "50%"
   */
  instances?: number | "max" | (string & {}) | false | null;
  /**
   * `fork` runs plain processes; `cluster` lets Node's instances share what they listen on. Where `instances` is given and node or bun runs the script it is `cluster` by itself, as in PM2; deno is to be told so.
   * * `fork`: Plain processes, each on its own.
   * * `cluster`: Node's instances share their ports.
   * * `fork_mode`: The same as `fork`.
   * * `cluster_mode`: The same as `cluster`.
   * @default "fork"
   * @example "fork"
   */
  exec_mode?: "fork" | "cluster" | "fork_mode" | "cluster_mode" | "" | false | null;
  /**
   * The variable that tells an instance its number, counted from 0.
   * @default "NODE_APP_INSTANCE"
   * @example "INSTANCE_ID"
   */
  instance_var?: string | false | null;
  /**
   * A variable of `env` that is one higher for each further instance.
   * @example "PORT"
   */
  increment_var?: string | false | null;
  /**
   * With `--env <name>` the app is called `<app>-<name>`.
   * @default false
   * @example true
   */
  append_env_to_name?: boolean | null;
  /**
   * What counts as the app's code besides its script: a list of globs against `cwd`, `git` for the work tree's revision, or `false` for nothing at all. Changed code restarts the app at the next apply. Default: the script and env files.
   * @example ["dist/**", "package-lock.json"]
   * @example "git"
   * @example false
   */
  fingerprint?: string[] | "git" | (string & {}) | boolean | null;
  /**
   * The app's earlier name: it goes on running under the new one.
   * @example "old-name"
   */
  renamed_from?: string | false | null;
  /**
   * The user to run as, with its group, all that it is a member of, and its HOME. Only root can name another. A name, or a whole number from 0 to 4294967294. Default: who started pmrun.
   * @example "www-data"
   * @example 1000
   */
  uid?: number | string | false | null;
  /**
   * The group to run as. A name, or a whole number from 0 to 4294967294. Default: the user's.
   * @example "www-data"
   */
  gid?: number | string | false | null;
  /**
   * What others may not do with files that the app makes, in octal. Octal digits in quotes, such as "027". Default: as of who started pmrun.
   * @example "027"
   */
  umask?: string | false | null;
  /**
   * Takes less of the processor where others want it, up to 19; or more, down to -20, which only root may ask for. A whole number from -20 to 19.
   * @default 0
   * @example 10
   */
  nice?: number | string | false | null;
  /**
   * Limits of each of the app's processes, as of setrlimit(2); soft and hard are the same. More than pmrun itself has, only root may give.
   * @example {"nofile": 65536, "core": 0}
   * @example {"nproc": "unlimited", "fsize": "1G"}
   */
  rlimits?: Record<string, number | string> | false | null;
  /**
   * What each instance may use with all that it has started: `memory` (swap is not used; at the limit the kernel ends all of the instance, and it is restarted), `cpu` (processors, or a share of one) and `pids` (processes and threads); at least 4M, 1% and 1. By cgroup v2, where pmrun may make groups; where not, `apply` and `show` say so, and the app runs without.
   * @example {"memory": "512M", "cpu": 1.5, "pids": 200}
   * @example {"cpu": "50%"}
   */
  limits?: { memory?: number | string | null; cpu?: number | string | null; pids?: number | string | null } | false | null;
  /**
   * Apps of this file that have to be up before this one is started; it is stopped before them. As an object, what each must be: `started`, `ready` (the default), `healthy` or `completed`; and with `on_exit` what becomes of this app when that one ends: `ignore` (the default), `restart` once it is back, or `stop` until it is back. While one is not up, this app is not started again by itself, but waits, also for one that is deleted meanwhile; `pmrun start` starts it all the same.
   * @example ["db"]
   * @example {"db": "healthy", "migrate": "completed"}
   * @example {"cache": {"on_exit": "restart"}}
   */
  depends_on?: string[] | string | Record<string, "started" | "ready" | "healthy" | "completed" | { condition?: "started" | "ready" | "healthy" | "completed"; on_exit?: "ignore" | "restart" | "stop" }> | false | null;
  /**
   * `false` makes the app known without starting it.
   * @default true
   * @example false
   */
  autostart?: boolean | null;
  /**
   * `false` leaves it ended when it ends: for jobs that run once.
   * @default true
   * @example false
   */
  autorestart?: boolean | null;
  /**
   * Exit codes that mean done: the app is not started again. An exit code (0 to 255), or a list of them.
   * @example [0, 143]
   */
  stop_exit_codes?: (number | string)[] | number | string | false | null;
  /**
   * An app that ran for this long is up; a shorter run counts as unstable. A number of milliseconds, or a duration such as "3s".
   * @default 1000
   * @example "5s"
   * @example 1000
   */
  min_uptime?: number | string | false | null;
  /**
   * After so many unstable runs, with no long one in between, the app is given up as errored. A whole number from 0 to 1000000.
   * @default 16
   * @example 10
   */
  max_restarts?: number | string | false | null;
  /**
   * How long to wait before a restart; unstable runs beyond the sixteenth wait longer each time, up to 15 seconds. A number of milliseconds, or a duration such as "3s".
   * @default 0
   * @example "3s"
   */
  restart_delay?: number | string | false | null;
  /**
   * Waits this long before the first restart and half as long again before each further one, up to 15 seconds. Between runs that are too short there are 100 ms at least. A number of milliseconds, or a duration such as "3s".
   * @default 0
   * @example 100
   */
  exp_backoff_restart_delay?: number | string | false | null;
  /**
   * A process that has run for this long is replaced, up to a tenth earlier so that instances do not all go at once; 0 is never. Not for a job that is run once (`autorestart: false`): one that takes longer would never be done. A number of milliseconds, or a duration such as "3s".
   * @default 0
   * @example "24h"
   */
  max_age?: number | string | false | null;
  /**
   * Restarts the app at the times of a cron pattern: minute, hour, day of the month, month, day of the week, and seconds before them if there are six. Where both days are given both must fit. With `autorestart: false` it is a job that runs at these times. What somebody has stopped stays stopped. A cron pattern such as "0 3 * * *".
   * @example "0 3 * * *"
   * @example "*∕30 * * * 1-5"
   * @example "@daily"
   */
  cron_restart?: string | 0 | false | null;
  /**
   * Makes the app a job that is run at the times of this cron pattern, and not when it is applied. `start` puts its times in force, `restart` runs it now, `stop` ends both. A run that goes on is not ended by `apply`; the next one is by what is applied then. The last runs are in `show`. A cron pattern such as "0 3 * * *".
   * @example "0 3 * * *"
   */
  schedule?: string | 0 | false | null;
  /**
   * What becomes of a run of `schedule` whose time has come while the one before goes on.
   * * `skip`: There is no second run.
   * * `queue`: It begins when the one before has ended; one at most waits.
   * * `replace`: The one before is stopped first.
   * @default "skip"
   * @example "queue"
   */
  schedule_overlap?: "skip" | "queue" | "replace" | false | null;
  /**
   * The time zone of `cron_restart` and `schedule`. Default: the machine's.
   * @example "Europe/Berlin"
   * @example "UTC"
   */
  cron_timezone?: string | false | null;
  /**
   * Restarts an instance that uses more memory than this with all that it has started; 0 is no limit. A number of bytes, or a size such as "300M".
   * @example "300M"
   * @example "1G"
   */
  max_memory_restart?: number | string | false | null;
  /**
   * The app says itself when it is up: `process.send('ready')` in Node, `READY=1` by sd_notify in anything else.
   * @default false
   * @example true
   */
  wait_ready?: boolean | null;
  /**
   * The app is up when a line that it writes, to either of its logs, matches this regular expression: for what can say so in no other way.
   * @example "Uvicorn running on"
   * @example "^listening on port [0-9]+$"
   */
  ready_log?: string | false | null;
  /**
   * How long an app with `wait_ready` or `ready_log` may take to say so. A number of milliseconds, or a duration such as "3s".
   * @default 3000
   * @example "10s"
   */
  listen_timeout?: number | string | false | null;
  /**
   * Asks each instance again and again whether it works: one of `http`, `tcp` and `exec`. It is up when the first probe passes, within `startup`; later it is shown as `unhealthy` when `unhealthy_threshold` probes in a row have failed, and restarted unless `action` says otherwise. `$PORT` in it is the instance's own variable.
   * @example {"http": "http://127.0.0.1:3000/health"}
   * @example {"tcp": "localhost:$PORT", "interval": "5s", "action": "none"}
   * @example {"exec": ["./check.sh", "--fast"], "timeout": "2s"}
   */
  health_check?: { http: string; interval?: number | string; timeout?: number | string; startup?: number | string; unhealthy_threshold?: number | string; healthy_threshold?: number | string; action?: "restart" | "reload" | "none" } | { tcp: string; interval?: number | string; timeout?: number | string; startup?: number | string; unhealthy_threshold?: number | string; healthy_threshold?: number | string; action?: "restart" | "reload" | "none" } | { exec: string | string[]; interval?: number | string; timeout?: number | string; startup?: number | string; unhealthy_threshold?: number | string; healthy_threshold?: number | string; action?: "restart" | "reload" | "none" } | false | null;
  /**
   * The signal that asks the app to stop.
   * @default "SIGINT"
   * @example "SIGTERM"
   */
  stop_signal?: "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGILL" | "SIGABRT" | "SIGBUS" | "SIGFPE" | "SIGKILL" | "SIGUSR1" | "SIGSEGV" | "SIGUSR2" | "SIGPIPE" | "SIGALRM" | "SIGTERM" | "SIGXCPU" | "SIGWINCH" | (string & {}) | number | false | null;
  /**
   * How long the app may take to stop before it is killed. A number of milliseconds, or a duration such as "3s".
   * @default 1600
   * @example "10s"
   */
  kill_timeout?: number | string | false | null;
  /**
   * How long an instance that is replaced, in cluster mode or with TCP sockets by `listen`, may go on with the connections that it has before it is asked to stop; it is given no new ones. A number of milliseconds, or a duration such as "3s".
   * @default 3000
   * @example "30s"
   * @example 0
   */
  drain_timeout?: number | string | false | null;
  /**
   * Ends all processes that the app has started, not only the first.
   * @default true
   * @example false
   */
  treekill?: boolean | null;
  /**
   * Sends Node's `process.on('message')` the text `shutdown` instead of a signal.
   * @default false
   * @example true
   */
  shutdown_with_message?: boolean | null;
  /**
   * Restarts the app when its files change: `true` for its folder, or paths and globs against `cwd`. An app that was stopped stays so; one that was given up on, or is done, is started. A job with `schedule` is not watched: each run has the files as they are when it begins.
   * @default false
   * @example true
   * @example ["src", "config/*.json"]
   */
  watch?: boolean | string[] | string | null;
  /**
   * What `watch` does not look at, as lines of a `.gitignore`. Never looked at: dotfiles, `node_modules` and what editors leave, unless `!` takes them back in; and the log and pid files of apps.
   * @example ["logs", "/public/uploads", "*.sqlite", "!.env"]
   */
  ignore_watch?: (string | RegExp)[] | string | false | null;
  /**
   * How long files must be quiet before `watch` restarts, in milliseconds. Ten times as long, and two seconds at least, is the longest that it waits for quiet. A number of milliseconds, or a duration such as "3s".
   * @default 0
   * @example 1000
   */
  watch_delay?: number | string | false | null;
  /**
   * How files are watched, by the names of PM2's watcher: `usePolling` with `interval` and `binaryInterval`, `followSymlinks`, `ignored`, `depth`, `disableGlobbing`, `awaitWriteFinish`.
   * @example {"usePolling": true, "interval": 500}
   */
  watch_options?: { usePolling?: boolean | null; interval?: number | null; binaryInterval?: number | null; followSymlinks?: boolean | null; ignored?: string | RegExp | (string | RegExp)[] | null; depth?: number | null; disableGlobbing?: boolean | null; awaitWriteFinish?: boolean | { stabilityThreshold?: number; pollInterval?: number } | null; ignoreInitial?: boolean | null; persistent?: boolean | null; atomic?: boolean | number | null; alwaysStat?: boolean | null; ignorePermissionErrors?: boolean | null } | false | null;
  /**
   * Where standard output goes, against `cwd`; `/dev/null` throws it away. Default: ~/.pmrun/logs/<name>-out.log.
   * @example "./logs/api.log"
   * @example "/dev/null"
   */
  out_file?: string | false | null;
  /**
   * Where standard error goes. Default: ~/.pmrun/logs/<name>-error.log.
   * @example "./logs/api.err.log"
   */
  error_file?: string | false | null;
  /**
   * All instances write to the same files, without `-1`, `-2` in their names.
   * @default false
   * @example true
   */
  merge_logs?: boolean | null;
  /**
   * Throws both streams away.
   * @default false
   * @example true
   */
  disable_logs?: boolean | null;
  /**
   * One further file for both streams; `true` is `~/.pmrun/logs/<name>-all.log`.
   * @example "./logs/all.log"
   * @example true
   */
  log_file?: string | boolean | null;
  /**
   * Puts the time before each line, in dayjs' tokens.
   * @example "YYYY-MM-DD HH:mm:ss"
   */
  log_date_format?: string | false | null;
  /**
   * Puts the time before each line, as `YYYY-MM-DDTHH:mm:ss`.
   * @default false
   * @example true
   */
  time?: boolean | null;
  /**
   * `json` makes each line an object: `message`, `timestamp`, `type`, `process_id`, `app_name`, `sequence`.
   * * `raw`: Lines as the app writes them.
   * * `json`: Each line as a JSON object.
   * * `text`: The same as `raw`.
   * * `format`: The same as `raw`.
   * @default "raw"
   * @example "json"
   */
  log_type?: "raw" | "json" | "text" | "format" | "" | false | null;
  /**
   * From what size on a log is rotated: what was written moves to `NAME.log.1` and so on; 0 is never. A number of bytes, or a size such as "300M". Default: 10M.
   * @example "50M"
   * @example 0
   */
  log_max_size?: number | string | false | null;
  /**
   * How many rotated files of a log are kept. A whole number from 1 to 10000.
   * @default 10
   * @example 30
   */
  log_retain?: number | string | false | null;
  /**
   * Whether rotated files are compressed by gzip, all but the newest.
   * @default true
   * @example false
   */
  log_compress?: boolean | null;
  /**
   * Where the process id is written, against `cwd`. Default: ~/.pmrun/pids/<name>-<id>.pid.
   * @example "./api.pid"
   */
  pid_file?: string | false | null;
  /**
   * PM2: injects its metrics library. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  pmx?: boolean | string | null;
  /**
   * PM2: switches `pmx`. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  automation?: boolean | null;
  /**
   * PM2: options of its metrics library. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  io?: boolean | object | string | null;
  /**
   * PM2: traces requests. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  trace?: boolean | string | null;
  /**
   * PM2: switches `trace` off. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  disable_trace?: boolean | string | null;
  /**
   * PM2: more metrics. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  deep_monitoring?: boolean | string | null;
  /**
   * PM2: more metrics. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  event_loop_inspector?: boolean | string | null;
  /**
   * PM2: more metrics. Means nothing here: nothing is injected into apps.
   * @deprecated
   */
  v8?: boolean | string | null;
  /**
   * PM2: links the app to its hosted dashboard. Means nothing here: there is no hosted dashboard.
   * @deprecated
   */
  km_link?: boolean | string | null;
  /**
   * PM2: reads the work tree's git data for its lists. Means nothing here: use `fingerprint: "git"` to restart by revision.
   * @deprecated
   */
  vizion?: boolean | null;
  /**
   * PM2: not read by its current version. Means nothing here: a script's source map is read anyway, and with `node_args: "--enable-source-maps"` all are.
   * @deprecated
   */
  source_map_support?: boolean | null;
  /**
   * PM2: hides the console window. Means nothing here: it is about Windows.
   * @deprecated
   */
  windowsHide?: boolean | null;
  /**
   * PM2: how often it looks whether a process is gone. Means nothing here: the end of a process is noticed at once.
   * @deprecated
   */
  kill_retry_time?: number | string | false | null;
  /**
   * PM2: forces fork mode. Means nothing here: `exec_mode` decides.
   * @deprecated
   */
  execute_command?: boolean | null;
  /**
   * PM2: starts the same script twice. Means nothing here: apps are told apart by their names.
   * @deprecated
   */
  force?: boolean | null;
  /**
   * PM2: an option of its API. Means nothing here: write the whole `name`.
   * @deprecated
   */
  name_prefix?: string | false | null;
  /**
   * PM2: always overwritten. Means nothing here: the user is the one who started pmrun.
   * @deprecated
   */
  username?: string | false | null;
  /**
   * PM2: commands after `pm2 pull`. Means nothing here: there is no `pull`.
   * @deprecated
   */
  post_update?: unknown[] | string | false | null;
  /**
   * PM2: internal. Means nothing here: it is internal to PM2.
   * @deprecated
   */
  install_url?: string | false | null;
  /**
   * PM2: internal. Means nothing here: it is internal to PM2.
   * @deprecated
   */
  write?: boolean | null;
}

/** Options under their other names. */
export interface OtherSpellings {
  /** @deprecated The same as `script`. */
  cmd?: App["script"];
  /** @deprecated The same as `script`. */
  command?: App["script"];
  /** @deprecated The same as `script`. */
  exec?: App["script"];
  /** @deprecated The same as `interpreter`. */
  exec_interpreter?: App["interpreter"];
  /** @deprecated The same as `interpreter`. */
  execInterpreter?: App["interpreter"];
  /** @deprecated The same as `node_args`. */
  nodeArgs?: App["node_args"];
  /** @deprecated The same as `node_args`. */
  interpreter_args?: App["node_args"];
  /** @deprecated The same as `node_args`. */
  interpreterArgs?: App["node_args"];
  /** @deprecated The same as `disable_source_map_support`. */
  disableSourceMapSupport?: App["disable_source_map_support"];
  /** @deprecated The same as `env_file`. */
  envFile?: App["env_file"];
  /** @deprecated The same as `filter_env`. */
  filterEnv?: App["filter_env"];
  /** @deprecated The same as `exec_mode`. */
  execMode?: App["exec_mode"];
  /** @deprecated The same as `instance_var`. */
  instanceVar?: App["instance_var"];
  /** @deprecated The same as `increment_var`. */
  incrementVar?: App["increment_var"];
  /** @deprecated The same as `append_env_to_name`. */
  appendEnvToName?: App["append_env_to_name"];
  /** @deprecated The same as `renamed_from`. */
  renamedFrom?: App["renamed_from"];
  /** @deprecated The same as `uid`. */
  user?: App["uid"];
  /** @deprecated The same as `gid`. */
  group?: App["gid"];
  /** @deprecated The same as `depends_on`. */
  dependsOn?: App["depends_on"];
  /** @deprecated The same as `stop_exit_codes`. */
  stopExitCodes?: App["stop_exit_codes"];
  /** @deprecated The same as `min_uptime`. */
  minUptime?: App["min_uptime"];
  /** @deprecated The same as `max_restarts`. */
  maxRestarts?: App["max_restarts"];
  /** @deprecated The same as `restart_delay`. */
  restartDelay?: App["restart_delay"];
  /** @deprecated The same as `exp_backoff_restart_delay`. */
  expBackoffRestartDelay?: App["exp_backoff_restart_delay"];
  /** @deprecated The same as `max_age`. */
  maxAge?: App["max_age"];
  /** @deprecated The same as `cron_restart`. */
  cronRestart?: App["cron_restart"];
  /** @deprecated The same as `cron_restart`. */
  cron?: App["cron_restart"];
  /** @deprecated The same as `schedule_overlap`. */
  scheduleOverlap?: App["schedule_overlap"];
  /** @deprecated The same as `cron_timezone`. */
  cronTimezone?: App["cron_timezone"];
  /** @deprecated The same as `cron_timezone`. */
  cron_tz?: App["cron_timezone"];
  /** @deprecated The same as `cron_timezone`. */
  cronTz?: App["cron_timezone"];
  /** @deprecated The same as `max_memory_restart`. */
  maxMemoryRestart?: App["max_memory_restart"];
  /** @deprecated The same as `wait_ready`. */
  waitReady?: App["wait_ready"];
  /** @deprecated The same as `ready_log`. */
  readyLog?: App["ready_log"];
  /** @deprecated The same as `listen_timeout`. */
  listenTimeout?: App["listen_timeout"];
  /** @deprecated The same as `health_check`. */
  healthCheck?: App["health_check"];
  /** @deprecated The same as `stop_signal`. */
  stopSignal?: App["stop_signal"];
  /** @deprecated The same as `stop_signal`. */
  kill_signal?: App["stop_signal"];
  /** @deprecated The same as `stop_signal`. */
  killSignal?: App["stop_signal"];
  /** @deprecated The same as `kill_timeout`. */
  killTimeout?: App["kill_timeout"];
  /** @deprecated The same as `kill_timeout`. */
  stop_timeout?: App["kill_timeout"];
  /** @deprecated The same as `kill_timeout`. */
  stopTimeout?: App["kill_timeout"];
  /** @deprecated The same as `drain_timeout`. */
  drainTimeout?: App["drain_timeout"];
  /** @deprecated The same as `shutdown_with_message`. */
  shutdownWithMessage?: App["shutdown_with_message"];
  /** @deprecated The same as `ignore_watch`. */
  ignoreWatch?: App["ignore_watch"];
  /** @deprecated The same as `watch_delay`. */
  watchDelay?: App["watch_delay"];
  /** @deprecated The same as `watch_options`. */
  watchOptions?: App["watch_options"];
  /** @deprecated The same as `out_file`. */
  outFile?: App["out_file"];
  /** @deprecated The same as `out_file`. */
  out_log?: App["out_file"];
  /** @deprecated The same as `out_file`. */
  outLog?: App["out_file"];
  /** @deprecated The same as `out_file`. */
  output?: App["out_file"];
  /** @deprecated The same as `out_file`. */
  out?: App["out_file"];
  /** @deprecated The same as `error_file`. */
  errorFile?: App["error_file"];
  /** @deprecated The same as `error_file`. */
  err_log?: App["error_file"];
  /** @deprecated The same as `error_file`. */
  errLog?: App["error_file"];
  /** @deprecated The same as `error_file`. */
  err_file?: App["error_file"];
  /** @deprecated The same as `error_file`. */
  errFile?: App["error_file"];
  /** @deprecated The same as `error_file`. */
  err?: App["error_file"];
  /** @deprecated The same as `error_file`. */
  error?: App["error_file"];
  /** @deprecated The same as `merge_logs`. */
  mergeLogs?: App["merge_logs"];
  /** @deprecated The same as `merge_logs`. */
  combine_logs?: App["merge_logs"];
  /** @deprecated The same as `merge_logs`. */
  combineLogs?: App["merge_logs"];
  /** @deprecated The same as `disable_logs`. */
  disableLogs?: App["disable_logs"];
  /** @deprecated The same as `log_file`. */
  logFile?: App["log_file"];
  /** @deprecated The same as `log_file`. */
  log?: App["log_file"];
  /** @deprecated The same as `log_date_format`. */
  logDateFormat?: App["log_date_format"];
  /** @deprecated The same as `log_type`. */
  logType?: App["log_type"];
  /** @deprecated The same as `log_max_size`. */
  logMaxSize?: App["log_max_size"];
  /** @deprecated The same as `log_retain`. */
  logRetain?: App["log_retain"];
  /** @deprecated The same as `log_compress`. */
  logCompress?: App["log_compress"];
  /** @deprecated The same as `pid_file`. */
  pidFile?: App["pid_file"];
  /** @deprecated The same as `pid_file`. */
  pid?: App["pid_file"];
  /** @deprecated The same as `disable_trace`. */
  disableTrace?: App["disable_trace"];
  /** @deprecated The same as `deep_monitoring`. */
  deepMonitoring?: App["deep_monitoring"];
  /** @deprecated The same as `event_loop_inspector`. */
  eventLoopInspector?: App["event_loop_inspector"];
  /** @deprecated The same as `km_link`. */
  kmLink?: App["km_link"];
  /** @deprecated The same as `source_map_support`. */
  sourceMapSupport?: App["source_map_support"];
  /** @deprecated The same as `kill_retry_time`. */
  killRetryTime?: App["kill_retry_time"];
  /** @deprecated The same as `execute_command`. */
  executeCommand?: App["execute_command"];
  /** @deprecated The same as `name_prefix`. */
  namePrefix?: App["name_prefix"];
  /** @deprecated The same as `post_update`. */
  postUpdate?: App["post_update"];
  /** @deprecated The same as `install_url`. */
  installUrl?: App["install_url"];
}
