//! Datagrams that are nothing: every first byte, and connectivity checks that name nobody.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use tokio::net::UdpSocket;

use crate::{Done, pace::Pace};

pub(crate) async fn run(to: SocketAddr, per_s: u32, done: &Done) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let datagrams: Vec<Vec<u8>> = (0..=u8::MAX).map(datagram).collect();
    let next = AtomicUsize::new(0);
    let mut pace = Pace::new(per_s);
    loop {
        let due = pace.due().await;
        for _ in 0..due {
            let nth = next.fetch_add(1, Ordering::Relaxed) % datagrams.len();
            if let Some(datagram) = datagrams.get(nth) {
                // A full socket is what this is about.
                let _sent = socket.try_send_to(datagram, to);
            }
        }
        done.add(due.into());
        tokio::task::yield_now().await;
    }
}

/// 200 bytes that begin with this one.
fn datagram(first: u8) -> Vec<u8> {
    let mut bytes = vec![first; 200];
    if first < 4 {
        // A binding request with the name of nobody, and padding.
        bytes.truncate(20);
        bytes.splice(..8, [0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42]);
        bytes.extend([0, 6, 0, 8]);
        bytes.extend(*b"who:what");
    }
    bytes
}
