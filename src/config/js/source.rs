//! The JavaScript that pmrun brings along, and what is done to a file's text before the engine sees it.

use std::borrow::Cow;

/// Stands before a CommonJS file on its first line, so that lines stay what they are; columns of that line move by this much.
pub(super) const WRAPPER: &str = "(function (exports, require, module, __filename, __dirname) {";
pub(super) const WRAPPER_END: &str = "\n})";

/// Files of ours have such paths in stack traces: no frame of the user's.
pub(super) const OWN: &str = "pmrun:";

/// More brackets than any file that a person wrote; the engine's parser is recursive.
pub(super) const DEPTH_MAX: usize = 1_000;

pub(super) const BOOT: &str = include_str!("builtins/boot.js");

/// Globals that Node has and the language does not, and words of those that V8 understands more of. `provide.js` makes each
/// when a file names it.
pub(super) const GLOBALS: [&str; 21] = [
    "Date",
    "toLocale",
    "process",
    "console",
    "Buffer",
    "atob",
    "btoa",
    "URL",
    "URLSearchParams",
    "TextEncoder",
    "TextDecoder",
    "setTimeout",
    "setInterval",
    "setImmediate",
    "clearTimeout",
    "clearInterval",
    "clearImmediate",
    "queueMicrotask",
    "structuredClone",
    "performance",
    "crypto",
];

/// The stand-in for one of Node's modules: its name and its source.
pub(super) fn builtin(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "assert" => ("assert", include_str!("builtins/assert.js")),
        "assert/strict" => ("assert/strict", "module.exports = require('assert');"),
        "buffer" => ("buffer", include_str!("builtins/buffer.js")),
        "child_process" => ("child_process", include_str!("builtins/child_process.js")),
        "console" => ("console", include_str!("builtins/console.js")),
        "crypto" => ("crypto", include_str!("builtins/crypto.js")),
        "dotenv" => ("dotenv", include_str!("builtins/dotenv.js")),
        "dotenv/config" => ("dotenv/config", "require('dotenv').config();"),
        "events" => ("events", include_str!("builtins/events.js")),
        "fs" => ("fs", include_str!("builtins/fs.js")),
        "fs/promises" => ("fs/promises", "module.exports = require('fs').promises;"),
        "pmrun:collate" => ("pmrun:collate", include_str!("builtins/collate.js")),
        "pmrun:dates" => ("pmrun:dates", include_str!("builtins/dates.js")),
        "pmrun:locale" => ("pmrun:locale", include_str!("builtins/locale.js")),
        "pmrun:errors" => ("pmrun:errors", include_str!("builtins/errors.js")),
        "pmrun:language" => ("pmrun:language", include_str!("builtins/language.js")),
        "pmrun:provide" => ("pmrun:provide", include_str!("builtins/provide.js")),
        "pmrun:require" => ("pmrun:require", include_str!("builtins/require.js")),
        "pmrun:paths" => ("pmrun:paths", include_str!("builtins/paths.js")),
        "pmrun:globals" => ("pmrun:globals", include_str!("builtins/globals.js")),
        "module" => ("module", include_str!("builtins/module.js")),
        "os" => ("os", include_str!("builtins/os.js")),
        // Editors find types by it; it does nothing.
        "pmrun" => ("pmrun", "module.exports = { defineConfig: (config) => config };"),
        "path" => ("path", include_str!("builtins/path.js")),
        "path/posix" => ("path/posix", "module.exports = require('path').posix;"),
        "path/win32" => ("path/win32", "module.exports = require('path').win32;"),
        "process" => ("process", include_str!("builtins/process.js")),
        "querystring" => ("querystring", include_str!("builtins/querystring.js")),
        "sys" => ("sys", "module.exports = require('util');"),
        "timers" => ("timers", "module.exports = require('pmrun:globals');"),
        "timers/promises" => (
            "timers/promises",
            "const { setTimeout } = require('pmrun:globals');\n\
             module.exports = { setTimeout: (ms, value) => new Promise((done) => setTimeout(done, ms, value)) };",
        ),
        "url" => ("url", include_str!("builtins/url.js")),
        "util" => ("util", include_str!("builtins/util.js")),
        "util/types" => ("util/types", "module.exports = require('util').types;"),
        _ => return None,
    })
}

/// Modules that Node has and pmrun does not stand in for.
pub(super) fn is_nodes(name: &str) -> bool {
    const NAMES: [&str; 26] = [
        "async_hooks",
        "cluster",
        "constants",
        "dgram",
        "diagnostics_channel",
        "dns",
        "domain",
        "http",
        "http2",
        "https",
        "inspector",
        "net",
        "perf_hooks",
        "punycode",
        "readline",
        "repl",
        "stream",
        "string_decoder",
        "tls",
        "trace_events",
        "tty",
        "v8",
        "vm",
        "wasi",
        "worker_threads",
        "zlib",
    ];
    name.starts_with("node:") || NAMES.contains(&name.split('/').next().unwrap_or(name))
}

/// What Node and its modules have, and the engine and the stand-ins do not.
const LACKING: [(&str, &str); 15] = [
    ("Array", "fromAsync"),
    ("Error", "isError"),
    ("Uint8Array", "fromBase64 fromHex"),
    ("assert", "rejects doesNotThrow doesNotReject doesNotMatch"),
    ("buffer", "transcode isUtf8 isAscii Blob File resolveObjectURL"),
    ("console", "profile profileEnd timeStamp"),
    (
        "crypto",
        "checkPrime checkPrimeSync createDiffieHellman createECDH createSecretKey diffieHellman generatePrime \
         generatePrimeSync getCiphers getCurves hkdf hkdfSync pbkdf2 generateKeyPair generateKey generateKeySync \
         privateEncrypt publicDecrypt randomFill randomFillSync scrypt sign verify X509Certificate createCipher \
         createDecipher",
    ),
    ("events", "addAbortListener on getEventListeners getMaxListeners setMaxListeners listenerCount"),
    (
        "fs",
        "close fdatasync fdatasyncSync fstat fsync fsyncSync futimesSync lchownSync lutimesSync openAsBlob read readv \
         readvSync statfs statfsSync unwatchFile ReadStream WriteStream globSync glob",
    ),
    ("module", "register runMain wrap SourceMap"),
    ("os", "setPriority"),
    ("path", "matchesGlob"),
    (
        "process",
        "binding dlopen openStdin initgroups setgroups setegid seteuid setgid setuid setSourceMapsEnabled \
         setUncaughtExceptionCaptureCallback",
    ),
    ("timers", "setInterval scheduler"),
    (
        "util",
        "getSystemErrorMap getSystemErrorName getSystemErrorMessage getCallSites isBoolean isBuffer isNull isNumber isString \
         isObject isFunction isError isPrimitive log aborted parseArgs MIMEType MIMEParams transferableAbortController \
         isExternal isArgumentsObject isBoxedPrimitive isWeakMap isWeakSet isDataView isAnyArrayBuffer isArrayBufferView",
    ),
];

/// The modules of Node's that have this, where their stand-ins do not.
pub(super) fn lacking(name: &str) -> impl Iterator<Item = &'static str> {
    LACKING.iter().filter(move |(_, names)| names.split(' ').any(|known| known == name)).map(|(module, _)| *module)
}

/// A `#!` line becomes a comment of the same width.
pub(super) fn without_shebang(text: &str) -> Cow<'_, str> {
    match text.strip_prefix("#!") {
        Some(rest) => Cow::Owned(format!("//{rest}")),
        None => Cow::Borrowed(text),
    }
}

/// `import x from "./x.json" assert { type: "json" }`, as Node 16 to 20 have it, becomes what the language has made of
/// it, in the same width.
pub(super) fn with_attributes(text: &str) -> Cow<'_, str> {
    const OLD: &str = "assert";
    let mut out = Cow::Borrowed(text);
    for (at, _) in text.match_indices(OLD) {
        let before = text[..at].trim_end().ends_with(['\'', '"']);
        if before && text[at + OLD.len()..].trim_start().starts_with('{') {
            out.to_mut().replace_range(at..at + OLD.len(), "with  ");
        }
    }
    out
}

/// The line (from 1) on which brackets are nested deeper than the engine can read.
pub(super) fn too_deep(text: &str) -> Option<u32> {
    let mut depth = 0_usize;
    let mut line = 1_u32;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth = depth.saturating_sub(1),
            b'\n' => line = line.saturating_add(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some(line);
        }
    }
    None
}

/// Where a specifier stands in quotes: line and column, from 1.
pub(super) fn find_quoted(text: &str, specifier: &str) -> Option<(u32, u32)> {
    let at = ['\'', '"', '`'].iter().filter_map(|quote| text.find(&format!("{quote}{specifier}{quote}"))).min()?;
    let line = text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let column = text[start..at].chars().count() + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_found() {
        assert_eq!(find_quoted("a\n  b('x')", "x"), Some((2, 5)));
        assert_eq!(find_quoted("é = \"./y\"", "./y"), Some((1, 5)));
        assert_eq!(find_quoted("a", "x"), None);
    }

    #[test]
    fn depth() {
        assert_eq!(too_deep(&"[]".repeat(5000)), None);
        assert_eq!(too_deep(&format!("\n{}", "[".repeat(1001))), Some(2));
        assert_eq!(too_deep(&"{".repeat(1000)), None);
    }
}
