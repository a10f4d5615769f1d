//! Datagrams that the kernel dropped because a socket's receive buffer was full. Linux tells them
//! per socket in a table of all sockets, read when somebody asks (a scrape, a report), not by the
//! driver.

use std::{collections::HashSet, fs, os::fd::AsRawFd as _};

use crate::Stats;

/// Datagrams dropped by the kernel so far for the sockets of these shards together, read at once
/// for all of them; `None` where the system does not tell. A shard that has stopped has no socket
/// and counts for nothing: ask before.
pub fn kernel_drops<'a>(shards: impl IntoIterator<Item = &'a Stats>) -> Option<u64> {
    let inodes: HashSet<u64> = shards
        .into_iter()
        .map(|stats| stats.socket_inode.value())
        .collect();
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).ok());
    let drops = tables.iter().flatten().map(|table| sum(table, &inodes));
    drops.reduce(|a, b| a + b)
}

/// Names a socket as the kernel's table does; 0 where that is not known.
pub(crate) fn socket_inode(socket: &tokio::net::UdpSocket) -> u64 {
    fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()))
        .ok()
        .and_then(|link| parse_inode(link.to_str()?))
        .unwrap_or(0)
}

fn parse_inode(link: &str) -> Option<u64> {
    let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

/// Columns of the table: 9 is the inode, 12 the drops.
fn sum(table: &str, inodes: &HashSet<u64>) -> u64 {
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(9);
        let inode = columns.next()?.parse().ok()?;
        let drops: u64 = columns.nth(2)?.parse().ok()?;
        inodes.contains(&inode).then_some(drops)
    });
    rows.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
        retrnsmt   uid  timeout inode ref pointer drops\n\
        \x20 511: 0100007F:1B58 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        \
        0 31337 2 0000000000000000 12\n\
        \x20 512: 0100007F:1B59 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        \
        0 31338 2 0000000000000000 5\n\
        broken\n";

    #[test]
    fn the_rows_of_the_sockets_asked_for_are_summed() {
        assert_eq!(sum(TABLE, &HashSet::from([31338])), 5);
        assert_eq!(sum(TABLE, &HashSet::from([31337, 31338, 1])), 17);
        assert_eq!(sum(TABLE, &HashSet::new()), 0);
        assert_eq!(parse_inode("socket:[31337]"), Some(31337));
        assert_eq!(parse_inode("pipe:[31337]"), None);
    }
}
