//! Which slot of a cluster a name belongs to, and which node serves it.

use super::reply::Reply;
use crate::Server;

/// Slots of a cluster.
pub(super) const COUNT: usize = 16384;

/// The slot of a name: by what stands between its first braces, if anything, else by the whole.
pub(super) fn slot_of(name: &[u8]) -> usize {
    let tag = name.iter().position(|&b| b == b'{').and_then(|open| {
        let rest = &name[open + 1..];
        let size = rest.iter().position(|&b| b == b'}')?;
        (size > 0).then_some(&rest[..size])
    });
    usize::from(crc16(tag.unwrap_or(name))) % COUNT
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    })
}

/// Slots and the master that serves them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) master: Server,
}

/// Reads the reply to `CLUSTER SLOTS` of the node at `asked`; none when it is no such reply.
pub(super) fn ranges(reply: &Reply, asked: &Server) -> Option<Vec<Range>> {
    let Reply::List(items) = reply else {
        return None;
    };
    items.iter().map(|item| range(item, asked)).collect()
}

fn range(item: &Reply, asked: &Server) -> Option<Range> {
    let Reply::List(parts) = item else {
        return None;
    };
    let [
        Reply::Number(first),
        Reply::Number(last),
        Reply::List(master),
        ..,
    ] = parts.as_slice()
    else {
        return None;
    };
    let [host, Reply::Number(port), ..] = master.as_slice() else {
        return None;
    };
    let host = match host {
        Reply::Text(host) => std::str::from_utf8(host).ok()?,
        _ => "",
    };
    let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
    (first <= last && last < COUNT).then_some(())?;
    Some(Range {
        first,
        last,
        master: node(host, u16::try_from(*port).ok()?, asked)?,
    })
}

/// The node an error sends us to, of which `details` are slot and address.
pub(super) fn redirection(details: &str, asked: &Server) -> Option<Server> {
    let address = details.split(' ').nth(1)?;
    let (host, port) = address.rsplit_once(':')?;
    node(host, port.parse().ok()?, asked)
}

/// A node that does not know its own address is where we asked.
fn node(host: &str, port: u16, asked: &Server) -> Option<Server> {
    let host = match (host, asked) {
        ("", Server::Tcp { host, .. }) => host,
        ("" | "?", _) => return None,
        (host, _) => host,
    };
    Some(Server::Tcp {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Server {
        Server::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn slots() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // As CLUSTER KEYSLOT says.
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(
            slot_of(b"{user1000}.following"),
            slot_of(b"{user1000}.followers")
        );
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_ne!(slot_of(b"foo{bar"), slot_of(b"bar"));
    }

    #[test]
    fn redirections() {
        let asked = tcp("a.test", 1);
        assert_eq!(
            redirection("7 10.0.0.1:6379", &asked),
            Some(tcp("10.0.0.1", 6379))
        );
        assert_eq!(redirection("7 ::1:6379", &asked), Some(tcp("::1", 6379)));
        assert_eq!(redirection("7 :6379", &asked), Some(tcp("a.test", 6379)));
        for wrong in ["", "7", "7 x", "7 ?:6379", "7 a:70000"] {
            assert_eq!(redirection(wrong, &asked), None, "{wrong}");
        }
    }

    #[test]
    fn ranges_of_a_reply() {
        let asked = tcp("a.test", 1);
        let item = |first, last, host: Reply| {
            let master = vec![host, Reply::Number(7000), Reply::Text(b"id".to_vec())];
            Reply::List(vec![
                Reply::Number(first),
                Reply::Number(last),
                Reply::List(master),
            ])
        };
        let reply = Reply::List(vec![
            item(0, 5, Reply::Text(b"b.test".to_vec())),
            item(6, 16383, Reply::Nil),
        ]);
        let found = ranges(&reply, &asked).unwrap_or_default();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].master, tcp("b.test", 7000));
        assert_eq!((found[1].first, found[1].last), (6, 16383));
        assert_eq!(found[1].master, tcp("a.test", 7000));
        for wrong in [
            item(0, 16384, Reply::Nil),
            item(5, 4, Reply::Nil),
            item(-1, 4, Reply::Nil),
            Reply::Nil,
        ] {
            assert_eq!(ranges(&Reply::List(vec![wrong]), &asked), None);
        }
    }
}
