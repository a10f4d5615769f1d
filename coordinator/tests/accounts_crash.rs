//! A coordinator that is killed at any moment: every registration that it has acknowledged is there
//! when it is back.

#[cfg(test)]
mod tests {
    use std::{
        io::{self, BufRead as _, BufReader, Read as _, Write as _},
        net::TcpStream,
        process::{Child, Command, Stdio},
        sync::mpsc::{self, Sender},
        thread,
    };

    const ADMIN: &str = "the operator's secret";

    fn start(store: &str) -> (Child, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coordinator"))
            .env_clear()
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
        let stdout = child.stdout.as_mut().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let addr = line.strip_prefix("coordinator ready: ws://").expect(&line);
        let addr = addr.split_whitespace().next().expect(&line).into();
        (child, addr)
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

    #[test]
    fn what_was_acknowledged_is_there_after_kill_9() {
        let path = std::env::temp_dir().join(format!("accounts-crash-{}", std::process::id()));
        let store = path.to_str().expect("UTF-8");
        let mut all = Vec::new();
        for round in 0..6 {
            let (mut child, addr) = start(store);
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
            child.kill().expect("it runs");
            child.wait().expect("its end");
            for worker in workers {
                worker.join().expect("no panic");
            }
            all.extend(acknowledgements.iter());
        }
        let (mut child, addr) = start(store);
        assert!(all.len() >= 3 + 4 + 5 + 6 + 7 + 8, "{all:?}");
        for client in &all {
            let response = post(&addr, "login", client).expect("an answer");
            assert!(
                response.starts_with("HTTP/1.1 200 "),
                "{client}: {response}"
            );
        }
        child.kill().expect("it runs");
        child.wait().expect("its end");
        std::fs::remove_file(&path).expect("the store");
    }
}
