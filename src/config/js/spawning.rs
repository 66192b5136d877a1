//! Commands that a config runs and waits for.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsResult, JsString, JsValue};

use super::host::Host;
use super::natives::{binary, bytes, code, record, text};
use crate::base::Signal;

/// `spawn(file, args, cwd, [[key, value]], input)` as `{pid, status, signal, stdout, stderr}`, or `{code}` when it did not start.
pub(super) fn spawn(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let file = text(args, 0, context)?;
    let words = strings(args.get(1), context)?;
    let cwd = host.files.real(&host.path(&text(args, 2, context)?));
    let mut env = Vec::new();
    for pair in values(args.get(3), context)? {
        if let [key, value] = strings(Some(&pair), context)?.as_slice() {
            env.push((key.clone(), value.clone()));
        }
    }
    let input = bytes(args, 4, context)?;
    let pairs = match run(&file, &words, &cwd, &env, &input) {
        Ok((pid, output)) => {
            let status = output.status.code().map_or_else(JsValue::null, JsValue::from);
            let signal = output.status.signal().and_then(Signal::from_number);
            vec![
                ("pid", f64::from(pid).into()),
                ("status", status),
                ("signal", signal.map_or_else(JsValue::null, |signal| JsString::from(signal.to_string()).into())),
                ("stdout", binary(&output.stdout)),
                ("stderr", binary(&output.stderr)),
            ]
        }
        Err(error) => vec![
            ("pid", 0.into()),
            ("code", JsString::from(code(&error)).into()),
            ("stdout", binary(b"")),
            ("stderr", binary(b"")),
        ],
    };
    Ok(record(pairs, context))
}

/// The config's own limits are not the command's: a shell lifts the soft ones first, then becomes the command.
fn run(file: &str, words: &[String], cwd: &Path, env: &[(String, String)], input: &[u8]) -> io::Result<(u32, Output)> {
    if !found(file, cwd, env) {
        return Err(io::Error::from_raw_os_error(2));
    }
    let mut child = Command::new("/bin/sh")
        .args(["-c", "ulimit -S -v unlimited; ulimit -S -t unlimited; exec \"$0\" \"$@\"", file])
        .args(words)
        .current_dir(cwd)
        .env_clear()
        .envs(env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A command that does not read its input must not block us.
    let writer = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        if let Some(mut stdin) = stdin {
            // It may well end without having read everything.
            let _ = stdin.write_all(&input);
        }
    })?;
    let output = child.wait_with_output()?;
    drop(writer);
    Ok((pid, output))
}

fn found(file: &str, cwd: &Path, env: &[(String, String)]) -> bool {
    if file.contains('/') {
        return cwd.join(file).exists();
    }
    let path = env.iter().find(|(key, _)| key == "PATH").map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value);
    path.split(':').any(|folder| cwd.join(folder).join(file).is_file())
}

fn values(list: Option<&JsValue>, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let Some(object) = list.and_then(JsValue::as_object) else { return Ok(Vec::new()) };
    let array = JsArray::from_object(object)?;
    (0..array.length(context)?).map(|index| array.get(index, context)).collect()
}

fn strings(list: Option<&JsValue>, context: &mut Context) -> JsResult<Vec<String>> {
    let items = values(list, context)?;
    items.into_iter().map(|item| Ok(item.to_string(context)?.to_std_string_lossy())).collect()
}
