//! A coordinator that is killed at any moment, and one whose disk is full: every registration that it
//! has acknowledged is there when it is back, or when there is room again.

#[cfg(test)]
mod tests {
    use std::{
        io::{self, BufRead as _, BufReader, Read as _, Write as _},
        net::TcpStream,
        process::{Child, Command, Stdio},
        sync::mpsc::{self, Sender},
        thread,
        time::{Duration, Instant},
    };

    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    const ADMIN: &str = "the operator's secret";

    /// Killed when dropped.
    struct Coordinator(Child);

    impl Drop for Coordinator {
        fn drop(&mut self) {
            let ended = self.0.kill().and_then(|()| self.0.wait());
            ended.expect("its end");
        }
    }

    fn start(store: &str) -> (Coordinator, String) {
        let coordinator = env!("CARGO_BIN_EXE_coordinator");
        let mut child = Command::new("/bin/sh")
            .env_clear()
            // A file that may not grow is an error, as a full disk is, and no signal.
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", coordinator])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "none"])
            .env("BROKER_CLUSTER_SECRET", "0123456789abcdef")
            .env("BROKER_ADMIN_SECRET", ADMIN)
            .env("BROKER_AUTH__CLIENTS", "registered")
            .env("BROKER_AUTH__REGISTERED__STORE", store)
            .env("BROKER_AUTH__REGISTERED__KEYS_PER_S", "10000")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let addr = line.strip_prefix("coordinator ready: ws://").expect(&line);
        let addr = addr.split_whitespace().next().expect(&line).into();
        (Coordinator(child), addr)
    }

    fn post(addr: &str, path: &str, client: &str) -> io::Result<String> {
        let body = format!(r#"{{"clientID":"{client}","authKey":"the key of {client:>32}"}}"#);
        let mut stream = TcpStream::connect(addr)?;
        write!(
            stream,
            "POST /v1/auth/{path} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {ADMIN}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }

    /// Registers one after the other until nobody answers, and tells of each that was acknowledged.
    fn register(addr: &str, name: &str, acknowledged: &Sender<String>) {
        for nth in 0.. {
            let client = format!("{name}-{nth}");
            match post(addr, "register", &client) {
                Ok(response) if response.starts_with("HTTP/1.1 201 ") => {
                    if acknowledged.send(client).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// What a coordinator answers to somebody who opens a session with a token.
    fn upgrade(addr: &str, token: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(addr)?;
        write!(
            stream,
            "GET /connect HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    }

    /// How large a file the process may write.
    fn set_room(Coordinator(child): &Coordinator, bytes: Option<u64>) {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limit).expect("its limit");
    }

    #[test]
    fn without_room_nobody_registers_and_all_goes_on_when_there_is_some() {
        let path = std::env::temp_dir().join(format!("accounts-full-{}", std::process::id()));
        let (child, addr) = start(path.to_str().expect("UTF-8"));
        let registered = post(&addr, "register", "ann").expect("an answer");
        assert!(registered.starts_with("HTTP/1.1 201 "), "{registered}");
        let login = post(&addr, "login", "ann").expect("an answer");
        let (_, token) = login.split_once("\"bearerToken\":\"").expect(&login);
        let (token, _) = token.split_once('"').expect(&login);

        set_room(&child, Some(4_096));
        for client in ["bob", "cid"] {
            let full = post(&addr, "register", client).expect("an answer");
            assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
            assert!(
                full.contains("\"503\"") && full.contains("not just now"),
                "{full}"
            );
        }
        // A login writes which of somebody's tokens is in force.
        let full = post(&addr, "login", "ann").expect("an answer");
        assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
        assert!(!full.contains("bearerToken"), "{full}");
        // Whoever has a token needs no file.
        let session = upgrade(&addr, token).expect("an answer");
        assert!(session.starts_with("HTTP/1.1 101 "), "{session}");

        set_room(&child, None);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let registered = post(&addr, "register", "bob").expect("an answer");
            if registered.starts_with("HTTP/1.1 201 ") {
                break;
            }
            assert!(Instant::now() < deadline, "{registered}");
        }
        for client in ["ann", "bob"] {
            let login = post(&addr, "login", client).expect("an answer");
            assert!(login.starts_with("HTTP/1.1 200 "), "{client}: {login}");
        }
        drop(child);
        std::fs::remove_file(&path).expect("the store");
    }

    #[test]
    fn what_was_acknowledged_is_there_after_kill_9() {
        let path = std::env::temp_dir().join(format!("accounts-crash-{}", std::process::id()));
        let store = path.to_str().expect("UTF-8");
        let mut all = Vec::new();
        for round in 0..6 {
            let (child, addr) = start(store);
            let (acknowledged, acknowledgements) = mpsc::channel();
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    let (addr, acknowledged) = (addr.clone(), acknowledged.clone());
                    let name = format!("{round}-{worker}");
                    thread::spawn(move || register(&addr, &name, &acknowledged))
                })
                .collect();
            drop(acknowledged);
            // In the middle of the next ones, wherever they are.
            all.extend(acknowledgements.iter().take(3 + round));
            drop(child);
            for worker in workers {
                worker.join().expect("no panic");
            }
            all.extend(acknowledgements.iter());
        }
        let (child, addr) = start(store);
        assert!(all.len() >= 3 + 4 + 5 + 6 + 7 + 8, "{all:?}");
        for client in &all {
            let response = post(&addr, "login", client).expect("an answer");
            assert!(
                response.starts_with("HTTP/1.1 200 "),
                "{client}: {response}"
            );
        }
        drop(child);
        std::fs::remove_file(&path).expect("the store");
    }
}
