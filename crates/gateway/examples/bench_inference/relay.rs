//! The least that can stand between a caller and a provider: bytes handed on, none of them looked at. What it
//! adds, nothing that speaks HTTP in a process of its own can undercut here.

use crate::load::alone;
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Starts a relay on a thread of its own; where it listens.
pub(crate) fn start(upstream: SocketAddr) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        alone(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                let mut provider = TcpStream::connect(upstream).await.unwrap();
                caller.set_nodelay(true).unwrap();
                provider.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    // Either side may go when it likes: that is how a conversation ends here.
                    let _ended = copy_bidirectional(&mut caller, &mut provider).await;
                });
            }
        });
    });
    receiver.recv().unwrap()
}
