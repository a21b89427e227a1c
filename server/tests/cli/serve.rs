//! `trimtab serve`: how it starts, ends, and refuses to start.

use crate::program::{command, folder, refused, stderr, trimtab};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A folder with the one file that makes it a site.
fn site(folder: &Path) -> String {
    let site = folder.join("site");
    fs::create_dir_all(site.join("pkg")).expect("writable");
    fs::write(site.join("pkg/trimtab.wasm"), b"\0asm").expect("writable");
    site.to_str().expect("UTF-8").to_owned()
}

#[test]
fn serving_without_a_built_site_says_how_to_build_it() {
    let folder = folder();
    let missing = folder.path().join("nothing");
    let said = refused(&["serve", "--site-dir", missing.to_str().expect("UTF-8")]);
    assert!(said.starts_with("error: no built site in"), "{said}");
    assert!(said.contains("hint: run `make build`"), "{said}");
}

#[test]
fn serving_on_a_port_in_use_says_so_and_leaves_nothing_behind() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let data_dir = folder.path().join("data");
    fs::create_dir(&data_dir).expect("writable");
    let output = trimtab(
        &data_dir,
        &["serve", "--addr", &addr, "--site-dir", &site(folder.path())],
    );
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("error: address {addr} is in use\nhint: ")),
        "{said}"
    );
    assert_eq!(fs::read_dir(&data_dir).expect("there").count(), 0);
}

/// A server that is killed when the test ends.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(data_dir: &Path, site_dir: &str) -> Self {
        let arguments = ["serve", "--addr", "127.0.0.1:0", "--site-dir", site_dir];
        let mut child = command(data_dir, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a first line");
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the address")
            .to_owned();
        Self { child, url }
    }

    fn tell(&self, signal: &str) {
        let id = self.child.id().to_string();
        let told = Command::new("kill")
            .args([signal, &id])
            .status()
            .expect("`kill` is there");
        assert!(told.success());
    }

    fn wait(&mut self, longest: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < longest {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_tells_its_address_and_ends_on_either_signal() {
    let folder = folder();
    let site_dir = site(folder.path());
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start(folder.path(), &site_dir);
        assert!(
            server.url.starts_with("http://127.0.0.1:"),
            "{}",
            server.url
        );
        server.tell(signal);
        assert_eq!(server.wait(Duration::from_secs(15)), Some(0), "{signal}");
    }
}

#[test]
fn two_servers_on_one_data_folder_are_refused() {
    let folder = folder();
    let site_dir = site(folder.path());
    let _first = Server::start(folder.path(), &site_dir);
    let second = trimtab(
        folder.path(),
        &["serve", "--addr", "127.0.0.1:0", "--site-dir", &site_dir],
    );
    let said = stderr(&second);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(
        said.contains("error: ") && said.contains("hint: "),
        "{said}"
    );
}
