//! From a path that was asked for to a file, and to none that is not the site's.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::listing::{self, Item};
use super::site::Site;

const INDEX: &str = "index.html";
const NOT_FOUND: &str = "404.html";
/// What machines ask for by agreement (RFC 8615); everything else that begins with a dot is nobody's.
const WELL_KNOWN: &str = ".well-known";
/// Of a folder; more is no page that anybody reads.
const LISTED_MAX: usize = 10_000;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file, without any link in its path.
    File(PathBuf),
    Listing {
        html: String,
    },
    Moved {
        to: String,
    },
    /// With the site's own page for that.
    Missing {
        page: Option<PathBuf>,
    },
    Refused,
}

enum Found {
    File(PathBuf),
    Folder(PathBuf),
}

/// Looks. The root is looked up each time: it may be a link that is moved to the next release.
pub(super) fn find(site: &Site, asked: &str) -> Place {
    let Ok(root) = site.root.canonicalize() else { return Place::Missing { page: None } };
    let Some(names) = names(asked) else { return Place::Refused };
    let look = |names: &[OsString]| look(site, &root, names);
    let file = |names: &[OsString]| match look(names) {
        Some(Found::File(path)) => Some(path),
        _ => None,
    };
    let homepage = || file(&self::names(&site.homepage).unwrap_or_default());
    let below = |folder: &[OsString], name: &str| file(&[folder, &[name.into()]].concat());
    if names.is_empty()
        && let Some(path) = homepage()
    {
        return Place::File(path);
    }
    let is_folder = asked.ends_with('/');
    match look(&names) {
        Some(Found::File(path)) if !is_folder => return Place::File(path),
        Some(Found::Folder(folder)) => {
            let index = below(&names, INDEX);
            if !is_folder && !names.is_empty() && (index.is_some() || site.listing) {
                return Place::Moved { to: format!("{}/", listing::url(&names)) };
            }
            match index {
                Some(index) => return Place::File(index),
                None if site.listing => {
                    return Place::Listing { html: listing::html(&names, &items(site, &root, &folder, &names)) };
                }
                None => {}
            }
        }
        Some(Found::File(_)) | None => {}
    }
    if site.spa {
        // What a page deep in the application asks for by a relative path is at the root.
        let asset = names.last().filter(|name| Path::new(name).extension().is_some());
        let asset = asset.and_then(|name| file(std::slice::from_ref(name)));
        if let Some(path) = asset.or_else(homepage) {
            return Place::File(path);
        }
    }
    Place::Missing { page: below(&[], NOT_FOUND) }
}

/// The names that a path consists of. None where it would leave the folder, or is no path of a file.
fn names(path: &str) -> Option<Vec<OsString>> {
    let mut names = Vec::new();
    for part in path.split('/') {
        let bytes: Vec<u8> = percent_decode_str(part).collect();
        match &bytes[..] {
            b"" | b"." => {}
            b".." => return None,
            name if name.iter().any(|byte| matches!(byte, 0 | b'/')) => return None,
            _ => names.push(OsString::from_vec(bytes)),
        }
    }
    Some(names)
}

fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && name != WELL_KNOWN.as_bytes()
}

/// What is there by these names; nothing where a link leads out of the root and must not.
fn look(site: &Site, root: &Path, names: &[OsString]) -> Option<Found> {
    if names.iter().any(|name| is_hidden(name.as_bytes())) {
        return None;
    }
    let real = names.iter().fold(root.to_owned(), |path, name| path.join(name)).canonicalize().ok()?;
    if !site.follow_symlinks && !real.starts_with(root) {
        return None;
    }
    let kind = fs::metadata(&real).ok()?.file_type();
    match () {
        () if kind.is_file() => Some(Found::File(real)),
        () if kind.is_dir() => Some(Found::Folder(real)),
        // Opening a pipe would wait for whoever writes to it.
        () => None,
    }
}

/// Those that can be asked for.
fn items(site: &Site, root: &Path, folder: &Path, above: &[OsString]) -> Vec<Item> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let shown = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let mut names: Vec<OsString> = shown.filter(|name| !is_hidden(name.as_bytes())).take(LISTED_MAX).collect();
    names.sort_unstable();
    let item = |name: OsString| {
        let (path, is_folder) = match look(site, root, &[above, std::slice::from_ref(&name)].concat())? {
            Found::File(path) => (path, false),
            Found::Folder(path) => (path, true),
        };
        let meta = fs::metadata(path).ok()?;
        Some(Item { name, is_folder, bytes: meta.len(), modified: meta.modified().ok() })
    };
    let mut items: Vec<Item> = names.into_iter().filter_map(item).collect();
    items.sort_by_key(|item| !item.is_folder);
    items
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree {
        folder: tempfile::TempDir,
        site: Site,
    }

    fn tree() -> Tree {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for sub in ["sub/deep", "bare", ".git", ".well-known"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        for file in
            ["index.html", "404.html", "a b.txt", "sub/index.html", "sub/x.js", ".env", ".git/config", ".well-known/x"]
        {
            fs::write(root.join(file), file).unwrap();
        }
        fs::write(root.join("bare").join(OsString::from_vec(vec![b'n', 0xff])), "n").unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("sub/x.js", root.join("in.js")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            rustix::fs::makedev(0, 0),
        )
        .unwrap();
        let mut site = Site::of(|_| None).unwrap();
        site.root = root;
        Tree { folder, site }
    }

    impl Tree {
        /// The path below the root, or what else it is.
        fn find(&self, asked: &str) -> String {
            let root = self.site.root.canonicalize().unwrap();
            let shown =
                |path: &Path| path.strip_prefix(&root).map_or_else(|_| "OUT".to_owned(), |p| p.display().to_string());
            match find(&self.site, asked) {
                Place::File(path) => shown(&path),
                Place::Listing { .. } => "listing".to_owned(),
                Place::Moved { to } => format!("-> {to}"),
                Place::Missing { page } => format!("missing {}", page.map(|page| shown(&page)).unwrap_or_default()),
                Place::Refused => "refused".to_owned(),
            }
        }

        #[track_caller]
        fn check(&self, table: &[(&str, &str)]) {
            for (asked, want) in table {
                assert_eq!(self.find(asked), *want, "{asked}");
            }
        }
    }

    #[test]
    fn what_is_in_the_folder_is_found_and_nothing_else() {
        let tree = tree();
        tree.check(&[
            ("/", "index.html"),
            ("", "index.html"),
            ("/index.html", "index.html"),
            ("/a%20b.txt", "a b.txt"),
            ("/a b.txt", "a b.txt"),
            ("//sub///x.js", "sub/x.js"),
            ("/./sub/./x.js", "sub/x.js"),
            ("/in.js", "sub/x.js"),
            ("/sub/", "sub/index.html"),
            ("/sub", "-> /sub/"),
            ("//sub", "-> /sub/"),
            ("/.well-known/x", ".well-known/x"),
            ("/bare/n%ff", "bare/n\u{fffd}"),
            ("/bare/", "missing 404.html"),
            ("/bare", "missing 404.html"),
            ("/a%20b.txt/", "missing 404.html"),
            ("/index.html/x", "missing 404.html"),
            ("/nothing", "missing 404.html"),
            ("/.env", "missing 404.html"),
            ("/.git/config", "missing 404.html"),
            ("/%2egit/config", "missing 404.html"),
            ("/out", "missing 404.html"),
            ("/up/secret", "missing 404.html"),
            ("/pipe", "missing 404.html"),
            ("/../secret", "refused"),
            ("/sub/../../secret", "refused"),
            ("/%2e%2e/secret", "refused"),
            ("/..%2fsecret", "refused"),
            ("/sub%2fx.js", "refused"),
            ("/a%00b", "refused"),
        ]);
        let long = format!("/{}", "x".repeat(5_000));
        assert_eq!(tree.find(&long), "missing 404.html");
    }

    #[test]
    fn an_application_of_one_page_has_every_path_and_its_files_from_everywhere() {
        let mut tree = tree();
        tree.site.spa = true;
        tree.check(&[
            ("/users/7", "index.html"),
            ("/deep/down/404.html", "404.html"),
            ("/deep/gone.css", "index.html"),
            ("/sub/x.js", "sub/x.js"),
            ("/.env", "index.html"),
            ("/../x", "refused"),
        ]);
        tree.site.homepage = "/sub/x.js".to_owned();
        tree.check(&[("/", "sub/x.js"), ("/users/7", "sub/x.js")]);
        tree.site.homepage = "/gone.html".to_owned();
        tree.check(&[("/", "index.html"), ("/users/7", "missing 404.html")]);
    }

    #[test]
    fn folders_are_listed_where_that_is_wanted_and_links_followed_where_that_is() {
        let mut tree = tree();
        tree.site.listing = true;
        tree.check(&[
            ("/bare/", "listing"),
            ("/bare", "-> /bare/"),
            ("/sub/", "sub/index.html"),
            ("/up/", "missing 404.html"),
        ]);
        fs::remove_file(tree.site.root.join("index.html")).unwrap();
        let Place::Listing { html } = find(&tree.site, "/") else { panic!() };
        for shown in ["sub/", "a%20b.txt", "in.js", ".well-known/"] {
            assert!(html.contains(&format!("href=\"{shown}\"")), "{shown}: {html}");
        }
        for hidden in [".env", ".git", "secret", "out", "up/", "pipe"] {
            assert!(!html.contains(&format!("href=\"{hidden}")), "{hidden}: {html}");
        }
        tree.site.follow_symlinks = true;
        tree.check(&[("/out", "OUT"), ("/up/secret", "OUT"), ("/pipe", "missing 404.html"), ("/../secret", "refused")]);
        drop(tree.folder);
        tree.site.root = "/nonexistent".into();
        assert_eq!(find(&tree.site, "/"), Place::Missing { page: None });
    }
}
