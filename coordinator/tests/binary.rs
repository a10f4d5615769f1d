//! The binary: its ready line, its exit status, and what it says when it cannot start.

#[cfg(test)]
mod tests {
    use std::{
        io::{self, BufRead as _, BufReader, Read, Write},
        net::{TcpListener, TcpStream},
        path::Path,
        process::{Child, Command, Output, Stdio},
        time::Duration,
    };

    use tls::{
        Connector, Stream, Trust,
        pki::{Authority, Folder, Validity},
    };
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SECRET: &str = "0123456789abcdef";

    const UPGRADE: &str = "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                           Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn command(args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
        command.env_clear().args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn output(mut command: Command) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("the binary");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (status.code().expect("an exit"), text(stdout), text(stderr))
    }

    /// Starts it on a port of the system's choice, and reads its ready line.
    fn start() -> (Child, String) {
        let mut command = command(&["--listen", "127.0.0.1:0", "--insecure"]);
        command.env("BROKER_CLUSTER_SECRET", SECRET);
        spawn(command)
    }

    fn spawn(mut command: Command) -> (Child, String) {
        let mut child = command.spawn().expect("the binary");
        let stdout = child.stdout.as_mut().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        (child, line)
    }

    fn signal(child: &Child, name: &str) {
        let pid = child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill").success());
    }

    #[test]
    fn it_says_where_it_is_and_ends_when_asked() {
        for name in ["-TERM", "-INT"] {
            let (mut child, line) = start();
            let addrs = line.strip_prefix("coordinator ready: ws://").expect(&line);
            let (addr, admin) = addrs.trim().split_once(" admin=http://").expect(&line);
            for addr in [addr, admin] {
                assert!(
                    addr.starts_with("127.0.0.1:") && !addr.ends_with(":0"),
                    "{line}"
                );
            }
            signal(&child, name);
            let status = child.wait().expect("its end");
            assert_eq!(status.code(), Some(0), "{name}");
            let mut log = String::new();
            let stderr = child.stderr.as_mut().expect("a pipe");
            stderr.read_to_string(&mut log).expect("UTF-8");
            assert!(log.contains("INSECURE"), "{log}");
            assert!(!log.contains(SECRET), "{log}");
        }
    }

    #[test]
    fn a_hangup_is_no_reason_to_end() {
        let (mut child, _) = start();
        signal(&child, "-HUP");
        signal(&child, "-TERM");
        assert_eq!(child.wait().expect("its end").code(), Some(0));
    }

    /// The certificate that a new connection is shown; the connection stays open.
    async fn shown(addr: &str, ca: &Path) -> io::Result<Stream> {
        let (host, port) = addr.split_once(':').expect("an address");
        let trust = Trust {
            ca: Some(ca.into()),
            pair: None,
        };
        let port = port.parse().expect("a port");
        Connector::new(trust).dial(host, port, true).await
    }

    /// A session of a client on it.
    async fn upgrade(stream: &mut Stream) -> io::Result<()> {
        stream.write_all(UPGRADE.as_bytes()).await?;
        until(stream, b"HTTP/1.1 101").await
    }

    /// Whether a ping is answered.
    async fn ping(stream: &mut Stream) -> io::Result<()> {
        stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await?;
        until(stream, &[0x8a, 0]).await
    }

    /// Reads up to these bytes.
    async fn until(stream: &mut Stream, wanted: &[u8]) -> io::Result<()> {
        let mut read = Vec::new();
        while !read.ends_with(wanted) {
            read.push(stream.read_u8().await?);
        }
        Ok(())
    }

    fn reloads(admin: &str, result: &str) -> u64 {
        let mut stream = TcpStream::connect(admin).expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        Write::write_all(&mut stream, request.as_bytes()).expect("it reads");
        let mut page = String::new();
        Read::read_to_string(&mut stream, &mut page).expect("it answers");
        let name = format!("coordinator_tls_reloads_total{{result=\"{result}\"}} ");
        let mut values = page.lines().filter_map(|line| line.strip_prefix(&name));
        let value = values.next().map(|value| value.parse().expect("a number"));
        value.unwrap_or_default()
    }

    /// Until it has read its files again.
    async fn counted(admin: &str, result: &str, count: u64) {
        let counted = async {
            while reloads(admin, result) < count {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(20);
        let counted = tokio::time::timeout(patience, counted).await;
        counted.expect("it has read them");
    }

    #[tokio::test]
    async fn a_hangup_has_the_certificate_read_again() -> anyhow::Result<()> {
        let folder = Folder::new()?;
        let authorities = ["old", "new"].map(Authority::new);
        let [old, new] = authorities.map(|authority| authority.expect("a key"));
        let (old_ca, new_ca) = (old.write(&folder, "old")?, new.write(&folder, "new")?);
        let pair = old.issue(&folder, "server", &["127.0.0.1"], Validity::Now)?;
        let mut command = command(&["--listen", "127.0.0.1:0", "--insecure"]);
        command.env("BROKER_CLUSTER_SECRET", SECRET);
        command.env("BROKER_TLS__CERT_FILE", &pair.cert);
        command.env("BROKER_TLS__KEY_FILE", &pair.key);
        // Only who is asked looks at them.
        command.env("BROKER_TLS__RELOAD_INTERVAL", "1h");
        let (mut child, line) = spawn(command);
        let addrs = line.strip_prefix("coordinator ready: wss://").expect(&line);
        let (addr, admin) = addrs.trim().split_once(" admin=http://").expect(&line);
        let mut early = shown(addr, &old_ca).await?;
        upgrade(&mut early).await?;

        // What cannot be used is counted, and changes nothing.
        folder.write("server.pem", "half of it")?;
        signal(&child, "-HUP");
        counted(admin, "Failed", 1).await;
        assert!(shown(addr, &old_ca).await.is_ok());
        assert_eq!(reloads(admin, "Changed"), 0);

        new.issue(&folder, "server", &["127.0.0.1"], Validity::Now)?;
        signal(&child, "-HUP");
        counted(admin, "Changed", 1).await;
        assert!(shown(addr, &new_ca).await.is_ok());
        assert!(shown(addr, &old_ca).await.is_err());
        // Whoever was there before is still there.
        ping(&mut early).await?;
        signal(&child, "-TERM");
        assert_eq!(child.wait()?.code(), Some(0));
        Ok(())
    }

    #[test]
    fn half_a_certificate_is_a_wrong_configuration() {
        let mut half = command(&["--insecure"]);
        half.env("BROKER_CLUSTER_SECRET", SECRET);
        half.env("BROKER_TLS__CERT_FILE", "/nonexistent/cert.pem");
        let (code, _, stderr) = output(half);
        assert_eq!(code, 64, "{stderr}");
        assert!(stderr.contains("tls.key_file"), "{stderr}");
        let mut missing = command(&["--insecure"]);
        missing.env("BROKER_CLUSTER_SECRET", SECRET);
        missing.env("BROKER_TLS__CERT_FILE", "/nonexistent/cert.pem");
        missing.env("BROKER_TLS__KEY_FILE", "/nonexistent/key.pem");
        let (code, _, stderr) = output(missing);
        assert_eq!(code, 64, "{stderr}");
        assert!(stderr.contains("/nonexistent/cert.pem"), "{stderr}");
    }

    #[test]
    fn a_second_signal_ends_it_at_once() {
        let mut command = command(&[
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "none",
            "--insecure",
        ]);
        command.env("BROKER_CLUSTER_SECRET", SECRET);
        // Without the second signal, the test would wait as long.
        command.env("BROKER_TIMEOUTS__CLOSE", "1h");
        command.env("BROKER_TIMEOUTS__DRAIN", "1h");
        let (mut child, line) = spawn(command);
        let addr = line.strip_prefix("coordinator ready: ws://").expect(&line);
        let mut stream = TcpStream::connect(addr.trim()).expect("it listens");
        Write::write_all(&mut stream, UPGRADE.as_bytes()).expect("it reads");
        Read::read_exact(&mut stream, &mut [0; 12]).expect("an answer");
        signal(&child, "-TERM");
        // Two signals that come at once are one: the first has to be seen.
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let seen = log
            .lines()
            .any(|line| line.is_ok_and(|line| line.contains("shutting down")));
        assert!(seen);
        signal(&child, "-TERM");
        assert_eq!(child.wait().expect("its end").code(), Some(130));
    }

    #[test]
    fn without_secrets_it_does_not_start() {
        let (code, stdout, stderr) = output(command(&[]));
        assert_eq!((code, stdout.as_str()), (64, ""));
        assert!(stderr.contains("BROKER_CLUSTER_SECRET"), "{stderr}");
        assert!(stderr.contains("--insecure"), "{stderr}");
    }

    #[test]
    fn an_open_admin_listener_is_a_wrong_configuration() {
        let mut open = command(&["--insecure", "--admin-listen", "0.0.0.0:0"]);
        open.env("BROKER_CLUSTER_SECRET", SECRET);
        let (code, stdout, stderr) = output(open);
        assert_eq!((code, stdout.as_str()), (64, ""));
        assert!(stderr.contains("BROKER_ADMIN_SECRET"), "{stderr}");
    }

    #[test]
    fn a_flag_that_does_not_exist_is_a_wrong_configuration() {
        let (code, _, stderr) = output(command(&["--speed", "11"]));
        assert_eq!(code, 64, "{stderr}");
        let (code, stdout, _) = output(command(&["--help"]));
        assert_eq!(code, 0);
        assert!(stdout.contains("--client-secret-file"), "{stdout}");
    }

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        let mut taken = command(&["--insecure", "--listen", &addr]);
        taken.env("BROKER_CLUSTER_SECRET", SECRET);
        let (code, stdout, stderr) = output(taken);
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert!(
            stderr.contains(&format!("cannot listen on {addr}: ")),
            "{stderr}"
        );
    }

    #[test]
    fn the_configuration_can_be_checked_and_printed() {
        let mut check = command(&["--check-config", "--insecure"]);
        check.env("BROKER_CLUSTER_SECRET", SECRET);
        assert_eq!(output(check).0, 0);
        let mut print = command(&["--print-config", "--insecure"]);
        print.env("BROKER_CLUSTER_SECRET", SECRET);
        print.env("BROKER_LIMITS__CLIENTS_MAX", "5");
        let (code, stdout, _) = output(print);
        assert_eq!(code, 0);
        assert!(stdout.contains("limits.clients_max = 5  # BROKER_LIMITS__CLIENTS_MAX\n"));
        assert!(
            stdout.contains("insecure = true  # --insecure\n"),
            "{stdout}"
        );
        assert!(!stdout.contains(SECRET), "{stdout}");
    }
}
