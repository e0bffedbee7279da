use std::collections::BTreeSet;
use std::sync::Barrier;

use super::*;

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_file_is_made_once_for_its_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("a/keys");
    let path = directory.join("alice.json");
    assert!(load(&path).unwrap().is_none());
    let key = load_or_create(&path).unwrap();
    assert_eq!(load_or_create(&path).unwrap().public_text(), key.public_text());
    assert_eq!((mode(&path), mode(&directory)), (0o600, 0o700));
    assert_eq!(
        names(&directory),
        ["alice.json".to_owned()].into(),
        "nothing is left beside it"
    );
    assert!(matches!(create(&path, &generate()), Err(KeyFileError::Exists { .. })));
    assert_eq!(load(&path).unwrap().unwrap().public_text(), key.public_text());
}

#[test]
fn thirty_two_that_start_at_once_share_one_key() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keys/alice.json");
    let barrier = Barrier::new(32);
    let keys: BTreeSet<String> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    load_or_create(&path).unwrap().public_text().to_owned()
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
    assert_eq!(names(&home.path().join("keys")).len(), 1);
}

#[test]
fn a_damaged_file_is_told_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("alice.json");
    let mixed = {
        let (one, two) = (generate(), generate());
        one.to_key_file().replace(one.public_text(), two.public_text())
    };
    for (content, why) in [
        (b"".to_vec(), KeyError::File),
        (b"{".to_vec(), KeyError::File),
        (b"\xff\xfe".to_vec(), KeyError::File),
        (
            br#"{"private_key":"AA","public_key":"AA"}"#.to_vec(),
            KeyError::PrivateKey,
        ),
        (mixed.into_bytes(), KeyError::Mismatch),
        (vec![b' '; 100_000], KeyError::File),
    ] {
        fs::write(&path, &content).unwrap();
        chmod(&path, 0o600);
        let error = load_or_create(&path).unwrap_err();
        let KeyFileError::Damaged { why: told, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*told, why);
        let text = error.to_string();
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains("restore it"),
            "{text}"
        );
        assert_eq!(fs::read(&path).unwrap(), content, "it is as it was");
    }
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("alice.json");
    let key = load_or_create(&path).unwrap();
    for exposed in [0o644, 0o640, 0o604, 0o620, 0o602, 0o666, 0o601] {
        chmod(&path, exposed);
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode, .. } if mode == exposed));
        let text = error.to_string();
        assert!(
            text.contains(&format!("mode {exposed:04o}")) && text.contains(&format!("chmod 600 {}", path.display())),
            "{text}"
        );
    }
    chmod(&path, 0o400);
    assert_eq!(load_or_create(&path).unwrap().public_text(), key.public_text());
}

#[test]
fn a_directory_or_a_place_that_cannot_be_written_is_told() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(load(home.path()), Err(KeyFileError::Read { .. })));
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let below = load_or_create(&file.join("alice.json")).unwrap_err();
    assert!(
        matches!(below, KeyFileError::Read { .. } | KeyFileError::Write { .. }),
        "{below}"
    );
}

#[test]
fn a_key_is_replaced_whole() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("alice.json");
    load_or_create(&path).unwrap();
    let new = generate();
    replace(&path, &new).unwrap();
    assert_eq!(load(&path).unwrap().unwrap().public_text(), new.public_text());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(next_path(&path), home.path().join("alice.json.next"));
    remove(&path).unwrap();
    remove(&path).unwrap();
    assert!(load(&path).unwrap().is_none());
}
