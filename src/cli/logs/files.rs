use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::instances;
use crate::rpc::wire::InstanceView;

/// A log file and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct LogFile {
    pub path: PathBuf,
    pub label: String,
    pub app: String,
    pub namespace: String,
    /// The instance, as `list` numbers it; none where it is not one's alone.
    pub id: Option<u32>,
    /// The first of those whose it is; none where it is no app's.
    pub first: Option<u32>,
    pub stream: Stream,
    pub date_format: Option<String>,
    pub json: bool,
}

impl LogFile {
    /// What the daemon says, as PM2 calls it.
    pub(in crate::cli) fn of_daemon(path: PathBuf) -> Self {
        Self {
            path,
            label: "PM2".to_owned(),
            app: "PM2".to_owned(),
            namespace: String::new(),
            id: None,
            first: None,
            stream: Stream::Out,
            date_format: None,
            json: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Stream {
    Out,
    Error,
}

/// Each file once: instances may share theirs, and both streams may go to one.
pub(in crate::cli) fn log_files(views: &[InstanceView], out: bool, error: bool) -> Vec<LogFile> {
    let mut files: Vec<LogFile> = Vec::new();
    let mut by_path = BTreeMap::<PathBuf, usize>::new();
    for (view, label) in views.iter().zip(instances::labels(views)) {
        let lacks_one = out && view.out_file.is_none() || error && view.error_file.is_none();
        let streams = match &view.log_file {
            // Both are there, and one of them nowhere else.
            Some(both) if lacks_one => [Some((both, Stream::Out)), None],
            _ => [
                view.out_file.as_ref().filter(|_| out).map(|path| (path, Stream::Out)),
                view.error_file.as_ref().filter(|_| error).map(|path| (path, Stream::Error)),
            ],
        };
        for (path, stream) in streams.into_iter().flatten() {
            let path = PathBuf::from(path);
            if let Some(known) = by_path.get(&path) {
                // It is nobody's alone: it is called after the app.
                let shared = &mut files[*known];
                if shared.label != label {
                    shared.label.clone_from(&view.name);
                    shared.id = None;
                }
                continue;
            }
            by_path.insert(path.clone(), files.len());
            files.push(LogFile {
                path,
                label: label.clone(),
                app: view.name.clone(),
                namespace: view.namespace.clone(),
                id: Some(view.id),
                first: Some(view.id),
                stream,
                date_format: view.log_date_format.clone(),
                json: view.log_type.is_some(),
            });
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_files_are_read_once_and_named_after_the_app() {
        let (mut a, mut b) = (InstanceView::sample(0, "api", 0), InstanceView::sample(1, "api", 1));
        b.error_file = Some("/logs/api-error-1.log".into());
        let mut quiet = InstanceView::sample(2, "quiet", 0);
        (quiet.out_file, quiet.error_file) = (None, Some("/logs/quiet.log".into()));
        let named = |views: &[InstanceView], out, error| -> Vec<(String, String)> {
            let files = log_files(views, out, error);
            files.into_iter().map(|file| (file.label, file.path.display().to_string())).collect()
        };
        let pair = |label: &str, path: &str| (label.to_owned(), path.to_owned());
        assert_eq!(
            named(&[a.clone(), b.clone(), quiet.clone()], true, true),
            [
                pair("api", "/logs/api-out.log"),
                pair("api:0", "/logs/api-error.log"),
                pair("api:1", "/logs/api-error-1.log"),
                pair("quiet", "/logs/quiet.log"),
            ]
        );
        assert_eq!(named(&[quiet.clone()], true, false), []);
        quiet.log_file = Some("/logs/all.log".into());
        for (out, error, path) in [(true, true, "all"), (true, false, "all"), (false, true, "quiet")] {
            assert_eq!(named(&[quiet.clone()], out, error), [pair("quiet", &format!("/logs/{path}.log"))]);
        }
        quiet.error_file = None;
        assert_eq!(named(&[quiet], true, true), [pair("quiet", "/logs/all.log")]);
        a.error_file.clone_from(&a.out_file);
        assert_eq!(named(&[a], true, true), [pair("api", "/logs/api-out.log")]);
    }
}
