//! The binary: its ready line, its exit status, and what it says when it cannot start.

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::{TcpListener, TcpStream},
        process::{Child, Command, Output, Stdio},
    };

    const SECRET: &str = "0123456789abcdef";

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
        let request = "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        stream.read_exact(&mut [0; 12]).expect("an answer");
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
