//! BuildGrid's server, under our client.

use super::{or_skip, tool};
use crate::client::round_trip;
use crate::harness::wait_for;
use mainstay_remote::{RemoteCache, RemoteOptions};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// Ends the server with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn our_client_does_with_buildgrid_what_it_does_with_ours() {
    let Some(program) = or_skip(tool("buildgrid/bin/bgd"), "buildgrid") else {
        return;
    };
    // BuildGrid does not tell which port it was given, so a free one is found for it.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    let set_up = folder.path().join("cache.yml");
    fs::write(
        &set_up,
        include_str!("buildgrid.yml").replace("ADDRESS", &address.to_string()),
    )
    .unwrap();
    let log = folder.path().join("log");
    let server = Command::new(program)
        .args(["server", "start"])
        .arg(&set_up)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut server = Running(server);
    wait_for("buildgrid", || {
        let ended = server.0.try_wait().unwrap();
        assert!(ended.is_none(), "{}", fs::read_to_string(&log).unwrap());
        TcpStream::connect(address).is_ok()
    });
    let mut options = RemoteOptions::new(&format!("grpc://{address}"));
    options.instance = "main".to_owned();
    round_trip(&RemoteCache::connect(options).unwrap());
}
