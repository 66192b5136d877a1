use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::plan::Outcome;
use crate::runtime::{InstanceRecord, Intent};
use crate::spec::AppSpec;

fn record(name: &str, ambient: &str) -> AppRecord {
    let spec = Arc::new(AppSpec::new(name, "/bin/true", "/"));
    let instances = BTreeMap::from([(0, Box::new(InstanceRecord::new(7, Intent::Up)))]);
    AppRecord { ecosystem: None, file: None, spec, ambient: ambient.to_owned(), instances }
}

fn ambient(digest: &str) -> Save {
    let variables = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("ODD".to_owned(), "a\n\"é".to_owned())]);
    Save::Ambient(digest.to_owned(), Arc::new(variables))
}

#[test]
fn a_key_that_was_asked_for_is_the_one_that_the_daemon_has_later() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("not/there/yet");
    let made = key(&home).unwrap();
    assert_eq!(key(&home).unwrap(), made);
    assert_eq!(Store::open(&home).unwrap().load().unwrap().key, made);
}

#[test]
fn a_lock_that_a_child_has_a_copy_of_for_a_moment_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let made = key(home.path()).unwrap();
    for what in ["read", "opened"] {
        let file = std::fs::File::open(home.path().join("state")).unwrap();
        file.lock().unwrap();
        let mut child = std::process::Command::new("sleep").arg("0.05").stdin(file).spawn().unwrap();
        let found = match what {
            "read" => read(home.path()).unwrap().unwrap().key,
            _ => key(home.path()).unwrap(),
        };
        assert_eq!(found, made, "{what}");
        child.wait().unwrap();
    }
}

#[test]
fn what_is_saved_is_read_back_with_and_without_a_daemon() {
    let home = tempfile::tempdir().unwrap();
    assert!(read(home.path()).unwrap().is_none(), "nothing yet, and nothing is made by looking");
    assert!(!home.path().join("state").exists());

    let mut store = Store::open(home.path()).unwrap();
    let key = store.load().unwrap().key;
    store.save(&[ambient("d"), Save::App("a".into(), record("a", "d").into()), Save::Generation(3)]).unwrap();
    store.save(&[Save::App("b b/../é".into(), record("b", "d").into()), Save::Generation(4)]).unwrap();
    store.save(&[Save::DeleteApp("a".into()), Save::Generation(5)]).unwrap();
    assert!(matches!(read(home.path()), Err(StoreError::Held { .. })));
    drop(store);

    for state in [read(home.path()).unwrap().unwrap(), Store::open(home.path()).unwrap().load().unwrap()] {
        assert_eq!(state.generation, 5);
        assert_eq!(state.key, key, "made once");
        assert_eq!(state.apps.keys().collect::<Vec<_>>(), ["b b/../é"]);
        assert_eq!(state.apps["b b/../é"], record("b", "d"));
        assert_eq!(state.ambients["d"]["ODD"], "a\n\"é");
    }
    let mode = std::fs::metadata(home.path().join("state")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_environment_goes_with_the_last_app_that_refers_to_it() {
    let home = tempfile::tempdir().unwrap();
    let mut store = Store::open(home.path()).unwrap();
    let digests = |store: &mut Store| store.load().unwrap().ambients.into_keys().collect::<Vec<_>>();
    store
        .save(&[
            ambient("x"),
            Save::App("a".into(), record("a", "x").into()),
            Save::App("b".into(), record("b", "x").into()),
        ])
        .unwrap();
    store.save(&[ambient("y"), Save::App("a".into(), record("a", "y").into())]).unwrap();
    assert_eq!(digests(&mut store), ["x", "y"], "b still refers to x");
    // A rename: the record leaves one name and comes under another.
    store.save(&[Save::DeleteApp("b".into()), Save::App("c".into(), record("c", "x").into())]).unwrap();
    assert_eq!(digests(&mut store), ["x", "y"]);
    drop(store);
    let mut store = Store::open(home.path()).unwrap();
    store.save(&[Save::DeleteApp("c".into())]).unwrap();
    assert_eq!(digests(&mut store), ["y"], "known after reopening too");
    store.save(&[Save::DeleteApp("a".into()), ambient("y"), Save::App("a".into(), record("a", "y").into())]).unwrap();
    assert_eq!(digests(&mut store), ["y"]);
}

#[test]
fn what_cannot_be_read_is_an_error_and_is_left_alone() {
    let good = {
        let home = tempfile::tempdir().unwrap();
        Store::open(home.path())
            .unwrap()
            .save(&[ambient("d"), Save::App("a".into(), record("a", "d").into())])
            .unwrap();
        std::fs::read(home.path().join("state")).unwrap()
    };
    let mut flipped = good.clone();
    flipped.iter_mut().skip(4096).step_by(97).for_each(|byte| *byte ^= 0xff);
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("text", b"not a database\n".repeat(1000)),
        ("torn", good[..good.len() / 3].to_vec()),
        ("head only", good[..100].to_vec()),
        ("flipped", flipped),
        ("zeros", vec![0; 65536]),
    ];
    for (name, bytes) in table {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        std::fs::write(&path, &bytes).unwrap();
        let error = read(home.path()).expect_err(name);
        assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}: reading changed it");
        let error = Store::open(home.path()).expect_err(name);
        assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
        assert!(error.to_string().contains("left as it is"), "{error}");
        assert!(path.exists(), "{name}");
    }
}

#[test]
fn a_newer_format_is_said_and_not_touched() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let transaction = store.database.as_ref().unwrap().begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", b"2".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(store);
    for error in [read(home.path()).unwrap_err(), Store::open(home.path()).unwrap_err()] {
        assert!(matches!(&error, StoreError::Newer { format, .. } if format == "2"), "{error}");
    }
}

/// In a process whose files may not grow: that is as good as a full disk, and needs no disk.
#[test]
fn a_full_disk_is_said_and_the_next_save_works() {
    const INSIDE: &str = "PMRUN_TEST_FULL";
    if std::env::var_os(INSIDE).is_none() {
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["runtime::store::tests::a_full_disk_is_said_and_the_next_save_works", "--exact"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        return assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    let home = tempfile::tempdir().unwrap();
    let mut store = Store::open(home.path()).unwrap();
    store.save(&[ambient("d"), Save::App("a".into(), record("a", "d").into()), Save::Generation(1)]).unwrap();
    let big = BTreeMap::from([("BIG".to_owned(), "x".repeat(8 << 20))]);
    let saves = [Save::Ambient("big".into(), Arc::new(big)), Save::App("a".into(), record("a", "big").into())];
    for _ in 0..2 {
        let error = store.save(&saves).unwrap_err().to_string();
        assert!(error.starts_with("cannot write the state in") && error.ends_with("File too large"), "{error}");
        assert_eq!(store.load().unwrap().apps["a"].ambient, "d", "nothing was changed");
    }
    store.save(&[Save::Generation(2)]).unwrap();
    drop(store);
    let state = read(home.path()).unwrap().unwrap();
    assert_eq!((state.generation, state.apps["a"].ambient.as_str()), (2, "d"));
    assert!(state.ambients.contains_key("d"), "it is not taken for unreferenced");
}

#[test]
fn a_database_that_is_not_ours_is_said() {
    let home = tempfile::tempdir().unwrap();
    Database::create(home.path().join("state")).unwrap();
    let error = Store::open(home.path()).unwrap_err();
    assert!(error.to_string().contains("it is not pmrun's"), "{error}");
}

/// A small one, as a daemon leaves it that ended, or was killed.
fn whole(home: &Path, closed: bool) -> (Vec<u8>, State) {
    let mut store = Store::open(home).unwrap();
    for number in 1..=3 {
        let name = format!("app-{number}");
        store
            .save(&[ambient("d"), Save::App(name.clone(), record(&name, "d").into()), Save::Generation(number)])
            .unwrap();
    }
    let state = store.load().unwrap();
    let bytes = if closed {
        drop(store);
        std::fs::read(home.join("state")).unwrap()
    } else {
        std::fs::read(home.join("state")).unwrap()
    };
    (bytes, state)
}

/// What a file with these bytes comes to: damaged, or exactly what was saved. Never anything else, and never without an end.
fn comes_to(home: &Path, bytes: &[u8], saved: &State, what: &str) -> bool {
    std::fs::write(home.join("state"), bytes).unwrap();
    match check(home) {
        Ok(Some(state)) => {
            let same = state.apps == saved.apps && state.ambients == saved.ambients && state.key == saved.key;
            assert!(same && state.generation == saved.generation, "{what}: something else is taken for it");
            true
        }
        Err(StoreError::Damaged { .. }) => false,
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn whatever_is_cut_off_or_flipped_it_is_what_was_saved_or_damaged() {
    for closed in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let (good, saved) = whole(home.path(), closed);
        write_backup(home.path(), &saved, 0).unwrap();
        let home = home.path();
        assert!(comes_to(home, &good, &saved, "untouched"));
        // Everywhere in the head, and at the end and near the edges of pages in the rest.
        let lengths = (0..700).chain((700..good.len()).step_by(4_093)).chain((0..good.len()).step_by(4096));
        for length in lengths {
            assert!(!comes_to(home, &good[..length], &saved, &format!("cut at {length}")));
        }
        let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
        let flips = (0..512).chain(used.iter().copied().step_by(7)).chain((0..good.len()).step_by(9_973));
        let mut harmless = 0;
        for (number, at) in flips.enumerate() {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (number % 8);
            harmless += usize::from(comes_to(home, &flipped, &saved, &format!("flipped at {at}, closed: {closed}")));
        }
        assert!(harmless > 0, "what is not used any more may be anything");
        let zeros = [vec![0; good.len()], [&good[..4096], &vec![0; good.len() - 4096]].concat()];
        for bytes in zeros {
            assert!(!comes_to(home, &bytes, &saved, "zeros"));
        }
        let twice = [good.clone(), good.clone()].concat();
        comes_to(home, &twice, &saved, "twice");
    }
}

#[test]
fn what_does_not_parse_or_is_of_another_kind_is_damage() {
    type Spoil = fn(&WriteTransaction);
    let good = |home: &Path| whole(home, true).1;
    let table: [(&str, Spoil); 4] = [
        ("the record of app `app-1`", |transaction| {
            transaction.open_table(APPS).unwrap().insert("app-1", b"{\"spec\":".as_slice()).unwrap();
        }),
        ("an environment", |transaction| {
            transaction.open_table(AMBIENTS).unwrap().insert("d", b"[1]".as_slice()).unwrap();
        }),
        ("no key", |transaction| {
            transaction.open_table(META).unwrap().remove("key").unwrap();
        }),
        ("apps", |transaction| {
            transaction.delete_table(APPS).unwrap();
            let other: TableDefinition<'_, u64, u64> = TableDefinition::new("apps");
            transaction.open_table(other).unwrap().insert(1, 2).unwrap();
        }),
    ];
    for (want, spoil) in table {
        let home = tempfile::tempdir().unwrap();
        good(home.path());
        let database = Database::open(home.path().join("state")).unwrap();
        let transaction = database.begin_write().unwrap();
        spoil(&transaction);
        transaction.commit().unwrap();
        drop(database);
        for error in [read(home.path()).unwrap_err(), Store::open(home.path()).unwrap_err()] {
            assert!(matches!(&error, StoreError::Damaged { reason, .. } if reason.contains(want)), "{want}: {error}");
        }
    }
}

#[test]
fn one_that_is_gone_or_older_than_its_backup_is_damage_and_no_fresh_start() {
    let home = tempfile::tempdir().unwrap();
    let (before, _) = whole(home.path(), true);
    let mut store = Store::open(home.path()).unwrap();
    store.save(&[Save::Generation(9)]).unwrap();
    write_backup(home.path(), &store.load().unwrap(), 0).unwrap();
    drop(store);
    assert_eq!(Store::open(home.path()).unwrap().load().unwrap().generation, 9);
    let path = home.path().join("state");
    std::fs::write(&path, before).unwrap();
    let is_damaged = || {
        let damaged = |error: &StoreError| matches!(error, StoreError::Damaged { .. });
        damaged(&read(home.path()).unwrap_err()) && damaged(&Store::open(home.path()).unwrap_err())
    };
    assert!(is_damaged());
    std::fs::remove_file(&path).unwrap();
    assert!(is_damaged() && !path.exists());
    std::fs::remove_file(home.path().join(BACKUPS[0])).unwrap();
    assert!(read(home.path()).unwrap().is_none());
}

#[test]
fn what_is_set_aside_is_neither_replaced_nor_missing_in_between() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    let state = State { generation: 5, ..State::empty(Key([3; 32])) };
    assert_eq!(
        replace(home.path(), &state, &Generation::rebuilt(5, 1, 0, 1, 0), "now").unwrap(),
        None,
        "there was none"
    );
    let mut aside = Vec::new();
    for damaged in ["one", "two", "three"] {
        std::fs::write(&path, damaged).unwrap();
        aside.push((
            replace(home.path(), &state, &Generation::rebuilt(5, 1, 0, 1, 0), "now").unwrap().unwrap(),
            damaged,
        ));
        assert_eq!(read(home.path()).unwrap().unwrap().generation, 5);
    }
    let told = read_back(home.path(), &Recall::Last { count: 9 }).unwrap().unwrap().generations;
    assert_eq!(told.into_iter().map(|one| one.result).collect::<Vec<_>>(), [Some(Outcome::Done { touched: 0 })]);
    let (_, _, unfinished) = Store::take_up(home.path()).unwrap();
    assert_eq!(unfinished, [], "nobody's command was cut off");
    for (path, damaged) in aside {
        assert_eq!(std::fs::read_to_string(path).unwrap(), damaged);
    }
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_or_a_pipe_in_its_place_is_refused_and_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(Store::open(home.path()), Err(StoreError::Damaged { .. })));
    std::fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(Store::open(home.path()), Err(StoreError::Damaged { .. })));
}

/// As where its name goes while it is being written.
#[test]
fn a_file_that_lost_its_name_under_a_save_is_not_in_place() {
    let home = tempfile::tempdir().unwrap();
    let mut store = Store::open(home.path()).unwrap();
    assert!(store.is_in_place());
    std::fs::remove_file(home.path().join("state")).unwrap();
    store.save(&[Save::Generation(1)]).unwrap();
    assert!(!store.is_in_place());
    assert!(store.put_back(home.path()).unwrap() && store.is_in_place());
    drop(store);
    assert_eq!(read(home.path()).unwrap().unwrap().generation, 1);
}
