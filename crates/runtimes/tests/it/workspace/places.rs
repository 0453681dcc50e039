//! Where views may be.

use super::{Bench, write};
use mainstay_runtimes::workspace::{View, WorkspaceError, views_root};
use mainstay_sessions::WorkspaceMode;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

#[test]
fn a_view_and_its_folder_lie_apart() {
    let mut bench = Bench::new(WorkspaceMode::Overlay);
    write(bench.folder().join("file"), "kept");
    let folder = bench.folder().to_owned();
    for root in [
        folder.join("view"),
        folder.clone(),
        folder.parent().unwrap().to_owned(),
    ] {
        bench.params.root = root;
        let error = View::create(bench.params.clone()).unwrap_err();
        assert!(
            matches!(error, WorkspaceError::Overlapping { .. }),
            "{error}"
        );
        assert!(folder.join("file").exists());
    }
    bench.params.folder = folder.join("missing");
    let error = View::create(bench.params.clone()).unwrap_err();
    assert!(matches!(error, WorkspaceError::Folder { .. }), "{error}");
}

#[test]
fn the_place_is_private_and_outside_the_folder() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let (data, cache) = (bench.folder().join(".mainstay"), bench.path("cache"));
    let views = views_root(&data, bench.folder(), &cache).unwrap();
    assert!(views.starts_with(&cache), "{}", views.display());
    assert_eq!(fs::metadata(&views).unwrap().mode() & 0o777, 0o700);
    assert_eq!(views_root(&data, bench.folder(), &cache).unwrap(), views);
    let other = views_root(&bench.path("other"), bench.folder(), &cache).unwrap();
    assert_ne!(other, views);
    // A cache in the folder, said outright or through a link.
    let inside = bench.folder().join("cache");
    fs::create_dir(&inside).unwrap();
    symlink(&inside, bench.path("link")).unwrap();
    for cache in [inside, bench.path("link")] {
        let views = views_root(&data, bench.folder(), &cache).unwrap();
        assert!(!views.starts_with(bench.folder()), "{}", views.display());
        fs::remove_dir(views).unwrap();
    }
}

#[test]
fn a_place_that_somebody_else_prepared_is_refused() {
    let bench = Bench::new(WorkspaceMode::Overlay);
    let (cache, trap) = (bench.path("cache"), bench.path("trap"));
    fs::create_dir(&cache).unwrap();
    fs::create_dir(&trap).unwrap();
    symlink(&trap, cache.join("views")).unwrap();
    let error = views_root(&bench.path("data"), bench.folder(), &cache).unwrap_err();
    assert!(
        matches!(error, WorkspaceError::ForeignOwner { .. }),
        "{error}"
    );
    assert_eq!(fs::read_dir(&trap).unwrap().count(), 0);
}
