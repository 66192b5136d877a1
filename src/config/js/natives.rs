//! The functions that the JavaScript of `builtins/` is written over. Each takes and returns plain values.
#![expect(clippy::unnecessary_wraps, reason = "the engine calls functions of one type")]
#![expect(clippy::cast_precision_loss, reason = "JavaScript's numbers are doubles")]

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use boa_engine::object::builtins::{AlignedVec, JsArray, JsArrayBuffer, JsFunction};
use boa_engine::object::{FunctionObjectBuilder, JsObject, ObjectInitializer};
use boa_engine::property::Attribute;
use boa_engine::{Context, JsError, JsNativeError, JsResult, JsString, JsValue, NativeFunction, Script, Source};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

use super::gate::denied;
use super::host::Host;
use super::modules::{self, Compiled, text_value};
use super::orders::{Failure, Reply, Request};
use super::resolver::{self, Style};
use super::source::{OWN, builtin};
use super::{host_facts, paths, spawning};
use crate::config::dotenv;
use crate::diag::Code;

type Native = fn(&JsValue, &[JsValue], &mut Context) -> JsResult<JsValue>;

/// Milliseconds; longer ones never fire within a deadline.
const TIMER_MAX: f64 = 3_600_000.0;
const RANDOM_MAX: u32 = 1 << 20;
/// Of a file that is read as data.
const FILE_MAX: u64 = 64 << 20;

/// The object that `boot.js` gets.
pub(super) fn object(_host: &Host, context: &mut Context) -> JsObject {
    let table: [(&str, Native); 37] = [
        ("access", access),
        ("allVariables", all_variables),
        ("binaryOf", binary_of),
        ("builtin", builtin_function),
        ("bytesOf", bytes_of),
        ("chdir", chdir),
        ("clearTimer", clear_timer),
        ("compile", compile),
        ("cwd", |_, _, context| Ok(text_value(&Host::of(context).cwd()))),
        ("digest", digest),
        ("dotenv", parse_dotenv),
        ("end", end),
        ("env", env),
        ("exists", exists),
        ("facts", host_facts::machine),
        ("isBuiltin", is_builtin),
        ("later", later),
        ("mkdir", mkdir),
        ("modulePaths", module_paths),
        ("now", now),
        ("path", paths::path),
        ("print", print),
        ("process", host_facts::process),
        ("random", random),
        ("readBinary", read_binary),
        ("readText", read_text),
        ("readdir", read_dir),
        ("readlink", read_link),
        ("realpath", real_path),
        ("resolve", resolve),
        ("spawn", spawning::spawn),
        ("stat", stat),
        ("timer", timer),
        ("utf8Decode", utf8_decode),
        ("utf8Encode", utf8_encode),
        ("variable", variable),
        ("variableIsSet", variable_is_set),
    ];
    let mut object = ObjectInitializer::new(context);
    for (name, native) in table {
        object.function(NativeFunction::from_fn_ptr(native), JsString::from(name), 0);
    }
    object.build()
}

/// An argument as text.
pub(super) fn text(args: &[JsValue], index: usize, context: &mut Context) -> JsResult<String> {
    match args.get(index) {
        Some(value) => Ok(value.to_string(context)?.to_std_string_lossy()),
        None => Ok(String::new()),
    }
}

/// A plain object of plain values.
pub(super) fn record(pairs: Vec<(&str, JsValue)>, context: &mut Context) -> JsValue {
    let mut object = ObjectInitializer::new(context);
    for (key, value) in pairs {
        object.property(JsString::from(key), value, Attribute::all());
    }
    object.build().into()
}

/// Bytes as a string of as many characters, each below 256.
pub(super) fn binary(bytes: &[u8]) -> JsValue {
    let units: Vec<u16> = bytes.iter().map(|byte| u16::from(*byte)).collect();
    JsString::from(units.as_slice()).into()
}

/// The bytes of such a string.
pub(super) fn bytes(args: &[JsValue], index: usize, context: &mut Context) -> JsResult<Vec<u8>> {
    let Some(value) = args.get(index) else { return Ok(Vec::new()) };
    Ok(value.to_string(context)?.iter().map(|unit| u8::try_from(unit).unwrap_or(b'?')).collect())
}

pub(super) fn code(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(1) => "EPERM",
        Some(2) => "ENOENT",
        Some(12) => "ENOMEM",
        Some(13) => "EACCES",
        Some(17) => "EEXIST",
        Some(20) => "ENOTDIR",
        Some(21) => "EISDIR",
        Some(22) => "EINVAL",
        Some(27) => "EFBIG",
        Some(30) => "EROFS",
        Some(36) => "ENAMETOOLONG",
        Some(40) => "ELOOP",
        _ => "EIO",
    }
}

/// An error of a look at a path, which is a look all the same.
fn lacking(error: &io::Error, call: &str, path: &Path, context: &mut Context) -> JsError {
    let lacks = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    Host::of(context).looked(path, !lacks);
    io_error(error, call, path, context)
}

/// An error as Node words it: `ENOENT: no such file or directory, open '/x'`.
fn io_error(error: &io::Error, call: &str, path: &Path, context: &mut Context) -> JsError {
    let code = code(error);
    let said = match code {
        "EPERM" => "operation not permitted",
        "ENOENT" => "no such file or directory",
        "EACCES" => "permission denied",
        "EEXIST" => "file already exists",
        "ENOTDIR" => "not a directory",
        "EISDIR" => "illegal operation on a directory",
        "EFBIG" => "file too large (more than 64 MB)",
        "EINVAL" => "invalid argument",
        "EROFS" => "read-only file system",
        "ELOOP" => "too many symbolic links encountered",
        _ => "i/o error",
    };
    let path = path.to_string_lossy();
    let message = format!("{code}: {said}, {call} '{path}'");
    let object = JsNativeError::error().with_message(message).into_opaque(context);
    let number = JsValue::from(-error.raw_os_error().unwrap_or(5));
    let values = [
        ("errno", number),
        ("syscall", JsString::from(call).into()),
        ("code", JsString::from(code).into()),
        ("path", JsString::from(path.as_ref()).into()),
    ];
    for (key, value) in values {
        // A fresh error object takes every property.
        let _ = object.set(JsString::from(key), value, false, context);
    }
    JsError::from_opaque(object.into())
}

/// What is to be looked at: its name, and where its bytes are.
fn path(args: &[JsValue], context: &mut Context) -> JsResult<(PathBuf, PathBuf)> {
    let host = Host::of(context);
    let seen = host.path(&text(args, 0, context)?);
    host.gate.path(&seen, &host.files, context)?;
    let real = host.files.real(&seen);
    Ok((seen, real))
}

fn flag(args: &[JsValue], index: usize) -> bool {
    args.get(index).is_some_and(JsValue::to_boolean)
}

// Modules.

fn builtin_function(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(args, 0, context)?;
    let Some((name, source)) = builtin(&name) else {
        return Err(JsNativeError::error().with_message(format!("no built-in module `{name}`")).into());
    };
    let wrapped = format!("(function (module, require, host, makeRequire) {{ 'use strict'; {source}\n}})");
    let path = format!("{OWN}{name}");
    Script::parse(Source::from_bytes(&wrapped).with_path(Path::new(&path)), None, context)?.evaluate(context)
}

/// `later(require, module, name, length)`: a function that is one of a module's once it is called.
fn later(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let require = args.first().cloned().unwrap_or_default().to_object(context)?;
    let (module, name) = (text(args, 1, context)?, JsString::from(text(args, 2, context)?));
    let length = args.get(3).cloned().unwrap_or_default().to_length(context)?;
    let call = NativeFunction::from_copy_closure_with_captures(
        |this, args, (require, module, name): &(JsObject, JsString, JsString), context| {
            let module = require.call(&JsValue::undefined(), &[module.clone().into()], context)?;
            let function = module.to_object(context)?.get(name.clone(), context)?;
            function.to_object(context)?.call(this, args, context)
        },
        (require, JsString::from(module), name.clone()),
    );
    let function = FunctionObjectBuilder::new(context.realm(), call).name(name);
    Ok(function.length(usize::try_from(length).unwrap_or(0)).build().into())
}

/// The folders that a module's packages are looked for in.
fn module_paths(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let folder = text(args, 0, context)?;
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let above = (0..=parts.len()).rev().map(|count| &parts[..count]);
    let folders = above.filter(|above| above.last() != Some(&"node_modules")).map(|above| {
        let all: Vec<&str> = [""].iter().chain(above).chain(&["node_modules"]).copied().collect();
        JsString::from(all.join("/")).into()
    });
    Ok(JsArray::from_iter(folders, context).into())
}

fn is_builtin(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let specifier = text(args, 0, context)?;
    let folder = match args.get(1) {
        Some(_) => Some(host.path(&text(args, 1, context)?)),
        None => None,
    };
    Ok(resolver::is_builtin(&host.files, &specifier, folder.as_deref(), Style::Require).into())
}

fn resolve(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let (specifier, folder, from) = (text(args, 0, context)?, text(args, 1, context)?, text(args, 2, context)?);
    let folder = host.path(&folder);
    let found = modules::resolve(&host, &specifier, &folder, Path::new(&from), Style::Require, context)?;
    Ok(text_value(&found))
}

/// A function to call, or `{exports}` of what has none.
fn compile(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let path = PathBuf::from(text(args, 0, context)?);
    let exports = match modules::compile(&host, &path, context)? {
        Compiled::Function(function) => return Ok(function),
        Compiled::Value(value) => value,
        Compiled::Module(module) if path == host.entry => {
            host.entry_module.replace(Some(module));
            JsValue::undefined()
        }
        Compiled::Module(module) => modules::import_now(&module, &path, &host, context)?,
    };
    Ok(record(vec![("exports", exports)], context))
}

// The process.

fn env(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let mut object = ObjectInitializer::new(context);
    for (key, value) in host.orders.env.iter().filter(|(key, _)| host.gate.shows(key)) {
        object.property(JsString::from(key.as_str()), JsString::from(value.as_str()), Attribute::all());
    }
    Ok(object.build().into())
}

/// A variable is asked for by its name.
fn variable(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(args, 0, context)?;
    Host::of(context).gate.variable(&name, context);
    Ok(JsValue::undefined())
}

/// It is asked whether there is such a variable, as who sets defaults does; one that may not be seen is not there.
fn variable_is_set(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(args, 0, context)?;
    Host::of(context).gate.journal.variable(&name);
    Ok(JsValue::undefined())
}

fn all_variables(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Host::of(context).gate.journal.all_variables();
    Ok(JsValue::undefined())
}

fn chdir(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let seen = host.path(&text(args, 0, context)?);
    host.gate.folder(&seen, &host.files, context)?;
    match fs::metadata(host.files.real(&seen)) {
        Ok(meta) => {
            host.looked(&seen, true);
            if meta.is_dir() {
                host.set_cwd(seen);
                return Ok(JsValue::undefined());
            }
            let error = io::Error::from_raw_os_error(nix::errno::Errno::ENOTDIR as i32);
            Err(io_error(&error, "chdir", &seen, context))
        }
        Err(error) => Err(lacking(&error, "chdir", &seen, context)),
    }
}

/// Ends the program: its argument is the call that asked for it.
fn end(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let call = text(args, 0, context)?;
    Host::of(context).end(call.clone());
    Err(JsNativeError::error().with_message(format!("{call} was called")).into())
}

fn print(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = text(args, 0, context)?;
    (Host::of(context).print)(&text);
    Ok(JsValue::undefined())
}

fn now(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok((Host::of(context).started.elapsed().as_secs_f64() * 1e3).into())
}

fn timer(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(callback) = args.first().and_then(JsValue::as_object).and_then(JsFunction::from_object) else {
        return Ok(JsValue::undefined());
    };
    let delay = args.get(1).and_then(JsValue::as_number).unwrap_or(0.0);
    let delay = if delay.is_finite() { delay.clamp(0.0, TIMER_MAX) } else { 0.0 };
    Ok(Host::of(context).add_timer(callback, Duration::from_secs_f64(delay / 1e3), flag(args, 2)).into())
}

fn clear_timer(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if let Some(id) = args.first() {
        let id = id.to_u32(context)?;
        Host::of(context).clear_timer(id);
    }
    Ok(JsValue::undefined())
}

// Files.

/// What proc(5) tells of another process, its environment for one. Root would be let in.
fn is_of_another_process(path: &Path) -> bool {
    let Ok(real) = path.canonicalize() else { return false };
    let Ok(place) = real.strip_prefix("/proc") else { return false };
    let first = place.components().next().and_then(|part| part.as_os_str().to_str()?.parse::<u32>().ok());
    first.is_some_and(|pid| pid != std::process::id())
}

/// Up to what is worth a config's while: files such as /dev/zero have no end.
fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    if is_of_another_process(path) {
        return Err(io::Error::from_raw_os_error(nix::errno::Errno::EACCES as i32));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::from_raw_os_error(nix::errno::Errno::EFBIG as i32));
    }
    Ok(bytes)
}

fn exists(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    let found = real.exists();
    Host::of(context).looked(&seen, found);
    Ok(found.into())
}

fn read_text(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    match read_whole(&real) {
        Ok(bytes) => {
            Host::of(context).read(&seen, &bytes);
            Ok(JsString::from(String::from_utf8_lossy(&bytes).as_ref()).into())
        }
        Err(error) => Err(lacking(&error, "open", &seen, context)),
    }
}

fn read_binary(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    let bytes = read_whole(&real).map_err(|error| lacking(&error, "open", &seen, context))?;
    Host::of(context).read(&seen, &bytes);
    Ok(binary(&bytes))
}

fn read_dir(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    let mut found = list(&real).map_err(|error| lacking(&error, "scandir", &seen, context))?;
    found.sort();
    Host::of(context).listed(&seen, found.iter().map(|(name, _)| name.as_str()));
    let rows: Vec<JsValue> = found
        .into_iter()
        .map(|(name, kind)| {
            JsArray::from_iter([JsString::from(name).into(), JsString::from(kind).into()], context).into()
        })
        .collect();
    Ok(JsArray::from_iter(rows, context).into())
}

fn list(folder: &Path) -> io::Result<Vec<(String, &'static str)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = match () {
            () if kind.is_dir() => "dir",
            () if kind.is_symlink() => "link",
            () if kind.is_file() => "file",
            () => "other",
        };
        found.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    Ok(found)
}

fn stat(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    let follow = flag(args, 1);
    let found = if follow { fs::metadata(&real) } else { fs::symlink_metadata(&real) };
    let meta = found.map_err(|error| lacking(&error, if follow { "stat" } else { "lstat" }, &seen, context))?;
    Host::of(context).looked(&seen, true);
    let whole = |value: u64| JsValue::from(value as f64);
    let ms = |seconds: i64, nanos: i64| JsValue::from(seconds as f64 * 1e3 + nanos as f64 / 1e6);
    let born = meta.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let pairs = vec![
        ("dev", whole(meta.dev())),
        ("mode", meta.mode().into()),
        ("nlink", whole(meta.nlink())),
        ("uid", meta.uid().into()),
        ("gid", meta.gid().into()),
        ("rdev", whole(meta.rdev())),
        ("blksize", whole(meta.blksize())),
        ("ino", whole(meta.ino())),
        ("size", whole(meta.size())),
        ("blocks", whole(meta.blocks())),
        ("atimeMs", ms(meta.atime(), meta.atime_nsec())),
        ("mtimeMs", ms(meta.mtime(), meta.mtime_nsec())),
        ("ctimeMs", ms(meta.ctime(), meta.ctime_nsec())),
        ("birthtimeMs", born.map_or_else(|| 0.into(), |time| (time.as_secs_f64() * 1e3).into())),
    ];
    Ok(record(pairs, context))
}

fn real_path(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, _) = path(args, context)?;
    let found = Host::of(context).files.canonical(&seen);
    Host::of(context).looked(&seen, found.is_ok());
    found.map(|path| text_value(&path)).map_err(|error| io_error(&error, "lstat", &seen, context))
}

fn read_link(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    let found = fs::read_link(real);
    Host::of(context).looked(&seen, found.is_ok());
    found.map(|path| text_value(&path)).map_err(|error| io_error(&error, "readlink", &seen, context))
}

fn access(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (seen, real) = path(args, context)?;
    let mode = args.get(1).map_or(Ok(0), |mode| mode.to_u32(context))?;
    let wanted = rustix::fs::Access::from_bits_truncate(mode & 7);
    match rustix::fs::access(&real, wanted) {
        Ok(()) => {
            Host::of(context).looked(&seen, true);
            Ok(JsValue::undefined())
        }
        Err(error) => Err(lacking(&error.into(), "access", &seen, context)),
    }
}

/// Really made, as Node would: an app's working folder or logs may lie in it. By the parent, as nothing is written here.
fn mkdir(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let seen = host.path(&text(args, 0, context)?);
    match (host.ask)(Request::Folder { path: seen.clone(), recursive: flag(args, 1) }) {
        // What Node answers: the first folder that had to be made.
        Ok(Reply::Made(first)) => Ok(first.map_or_else(JsValue::undefined, |first| text_value(&first))),
        Ok(Reply::Failed(number)) => Err(io_error(&io::Error::from_raw_os_error(number), "mkdir", &seen, context)),
        Ok(Reply::Refused(why)) => {
            let message = format!("EACCES: permission denied, mkdir '{}': {why}", seen.display());
            host.note(&message, Failure::new(Code::Refused, format!("config threw: {message}")));
            Err(denied(&message, context))
        }
        Ok(Reply::Ran(_)) => Err(JsNativeError::error().with_message("no such reply").into()),
        Err(error) => Err(io_error(&error, "mkdir", &seen, context)),
    }
}

// Text and bytes.

fn parse_dotenv(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let pairs = dotenv::parse(&text(args, 0, context)?);
    let mut object = ObjectInitializer::new(context);
    for (key, value) in pairs {
        object.property(JsString::from(key), JsString::from(value), Attribute::all());
    }
    Ok(object.build().into())
}

fn utf8_encode(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok(binary(text(args, 0, context)?.as_bytes()))
}

fn utf8_decode(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let bytes = bytes(args, 0, context)?;
    Ok(JsString::from(String::from_utf8_lossy(&bytes).as_ref()).into())
}

/// An `ArrayBuffer` of such a string; of what is no byte its lower half.
fn bytes_of(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = args.first().map_or_else(|| Ok(JsString::default()), |text| text.to_string(context))?;
    let bytes = AlignedVec::from_iter(64, text.iter().map(|unit| unit.to_le_bytes()[0]));
    Ok(JsArrayBuffer::from_byte_block(bytes, context)?.into())
}

/// `binaryOf(buffer, start, length)`: the string of an `ArrayBuffer`'s part.
fn binary_of(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(buffer) = args.first().and_then(JsValue::as_object) else { return Ok(JsValue::undefined()) };
    let buffer = JsArrayBuffer::from_object(buffer.clone())?;
    let whole = |index: usize, context: &mut Context| args.get(index).map_or(Ok(0), |value| value.to_length(context));
    let (start, length) = (whole(1, context)?, whole(2, context)?);
    let part = |data: &[u8]| {
        let start = usize::try_from(start).ok()?;
        Some(binary(data.get(start..start.checked_add(usize::try_from(length).ok()?)?)?))
    };
    Ok(buffer.data().and_then(|data| part(&data)).unwrap_or_default())
}

/// The digest of bytes; undefined for an algorithm that is not there.
fn digest(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let bytes = bytes(args, 1, context)?;
    Ok(match text(args, 0, context)?.as_str() {
        "md5" => binary(&Md5::digest(bytes)),
        "sha1" => binary(&Sha1::digest(bytes)),
        "sha224" => binary(&Sha224::digest(bytes)),
        "sha256" => binary(&Sha256::digest(bytes)),
        "sha384" => binary(&Sha384::digest(bytes)),
        "sha512" => binary(&Sha512::digest(bytes)),
        _ => JsValue::undefined(),
    })
}

fn random(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let wanted = args.first().map_or(Ok(0), |size| size.to_u32(context))?.min(RANDOM_MAX);
    let mut bytes = vec![0; wanted as usize];
    let source = Path::new("/dev/urandom");
    match fs::File::open(source).and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes)) {
        Ok(()) => Ok(binary(&bytes)),
        Err(error) => Err(io_error(&error, "open", source, context)),
    }
}
