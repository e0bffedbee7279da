use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::locate::find_postgres;
use crate::postgres::unprivileged_user;

/// Templates in a folder of the test, and a folder for copies.
fn templates(folder: &TempDir) -> Templates {
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Templates {
        root: folder.path().join("templates"),
        programs: find_postgres().unwrap(),
        user: unprivileged_user().unwrap(),
    }
}

/// The only template.
fn only_template(templates: &Templates) -> PathBuf {
    templates.root.join(templates.name().unwrap())
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// The output of `pg_controldata`, which also checks the control file's checksum.
fn state(templates: &Templates, cluster: &Path) -> String {
    let output = Command::new(templates.programs.join("pg_controldata"))
        .arg(cluster)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("Database cluster state:"));
    line.unwrap_or_else(|| panic!("{text}"))
        .split_once(':')
        .unwrap()
        .1
        .trim()
        .to_owned()
}

#[test]
fn many_at_once_make_one_template_and_get_whole_copies() {
    let folder = TempDir::new().unwrap();
    let templates = templates(&folder);
    let passwords: Vec<String> = thread::scope(|scope| {
        let copies: Vec<_> = (0..8)
            .map(|number| {
                let target = folder.path().join(number.to_string());
                let templates = &templates;
                scope.spawn(move || templates.copy_to(&target).unwrap())
            })
            .collect();
        copies.into_iter().map(|copy| copy.join().unwrap()).collect()
    });
    let manifest = Manifest::read(&only_template(&templates)).unwrap();
    assert!(
        passwords.iter().all(|password| *password == manifest.password),
        "{passwords:?}"
    );
    for number in 0..8 {
        let copy = folder.path().join(number.to_string());
        assert_eq!(measure(&copy).unwrap(), manifest.size);
        assert_eq!(state(&templates, &copy), "shut down");
        let owner = templates
            .user
            .map_or(rustix::process::getuid().as_raw(), |user| user.uid);
        assert_eq!(fs::metadata(copy.join("PG_VERSION")).unwrap().uid(), owner);
    }
}

#[test]
fn a_template_is_kept_until_it_is_damaged_and_made_anew_then() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("a file is gone", |template| {
            fs::remove_file(template.join("data/PG_VERSION")).unwrap()
        }),
        ("a file is cut off", |template| {
            let file = OpenOptions::new()
                .write(true)
                .open(template.join("data/global/pg_control"));
            file.unwrap().set_len(100).unwrap();
        }),
        ("a folder is gone", |template| {
            fs::remove_dir_all(template.join("data/base")).unwrap()
        }),
        ("the manifest is gone", |template| {
            fs::remove_file(template.join("manifest")).unwrap()
        }),
        ("the manifest is cut off", |template| {
            fs::write(template.join("manifest"), "0123 970").unwrap()
        }),
    ];
    let folder = TempDir::new().unwrap();
    let templates = templates(&folder);
    let copy = folder.path().join("copy");
    templates.copy_to(&copy).unwrap();
    let template = only_template(&templates);
    for (what, damage) in damages {
        let damaged = folder.path().join("damaged");
        copy_folder(&template, &damaged, None, &mut Size::default()).unwrap();
        assert!(is_whole(&damaged), "{what}: not before");
        damage(&damaged);
        assert!(!is_whole(&damaged), "{what}");
        assert!(
            templates.try_copy(&damaged, &folder.path().join("bad copy")).is_err(),
            "{what}"
        );
        fs::remove_dir_all(&damaged).unwrap();
        let _ = fs::remove_dir_all(folder.path().join("bad copy"));
    }

    let before = inode(&template.join("data"));
    fs::remove_dir_all(&copy).unwrap();
    templates.copy_to(&copy).unwrap();
    assert_eq!(inode(&template.join("data")), before, "what is whole is kept");

    fs::remove_file(template.join("data/PG_VERSION")).unwrap();
    fs::remove_dir_all(&copy).unwrap();
    let password = templates.copy_to(&copy).unwrap();
    assert!(is_whole(&template));
    assert_eq!(Manifest::read(&template).unwrap().password, password);
    assert_eq!(state(&templates, &copy), "shut down");
}

#[test]
fn what_a_killed_maker_left_is_removed() {
    let folder = TempDir::new().unwrap();
    let templates = templates(&folder);
    templates.make_root().unwrap();
    let staging = templates.root.join("staging");
    fs::create_dir_all(staging.join("data/base")).unwrap();
    fs::write(staging.join("data/PG_VERSION"), "15").unwrap();
    templates.copy_to(&folder.path().join("copy")).unwrap();
    assert!(!staging.exists());
    assert!(is_whole(&only_template(&templates)));
}

#[test]
fn another_installation_or_user_has_another_template() {
    let folder = TempDir::new().unwrap();
    let templates = templates(&folder);
    let mut other = Templates {
        root: templates.root.clone(),
        programs: folder.path().join("bin"),
        user: templates.user,
    };
    fs::create_dir(&other.programs).unwrap();
    for program in ["initdb", "postgres"] {
        fs::write(other.programs.join(program), "another").unwrap();
    }
    let name = other.name().unwrap();
    assert_ne!(name, templates.name().unwrap());
    assert_eq!(name, other.name().unwrap());
    other.user = Some(User { uid: 4711, gid: 4711 });
    assert_ne!(name, other.name().unwrap());
    let name = other.name().unwrap();
    fs::write(other.programs.join("postgres"), "another version").unwrap();
    assert_ne!(name, other.name().unwrap());
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let folder = TempDir::new().unwrap();
    let templates = templates(&folder);
    templates.make_root().unwrap();
    fs::set_permissions(&templates.root, fs::Permissions::from_mode(0o777)).unwrap();
    let error = templates.copy_to(&folder.path().join("copy")).unwrap_err();
    assert!(error.to_string().contains("TMPDIR"), "{error}");
}
