//! A machine without disks whose only contents are this test program, `da-server` and a shell.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the machine may take, boot included: it is emulated beside whatever else this one does.
const DEADLINE: Duration = Duration::from_secs(840);

const BUSYBOX: &str = "/bin/busybox";

/// Boots `kernel` in `emulator`, runs `tests` in it, and returns what the machine wrote to its serial
/// console.
pub fn run(emulator: &Path, kernel: &Path, tests: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("initramfs");
    pack(&folder.path().join("root"), &archive);
    // What guards against attacks on processors costs much in an emulator, and has nothing to guard.
    let arguments = format!(
        "console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off DA_GUEST_TESTS={}",
        tests.join(",")
    );
    // It has the longest way to go of all tests, and waits for nothing: where that is allowed it comes first.
    let mut qemu = Command::new("nice");
    qemu.args(["-n", "-10"]).arg(emulator);
    // Software emulation: the same everywhere, with or without virtualization.
    qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    qemu.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(&archive).args(["-append", &arguments]);
    // What it says of itself belongs to what the machine says.
    let (console, writes) = std::io::pipe().expect("a pipe");
    qemu.stdout(writes.try_clone().expect("a copy")).stderr(writes);
    let mut machine = Machine(qemu.spawn().expect("the emulator starts"));
    drop(qemu); // and with it this process's end of the pipe
    let output = BufReader::new(console);
    let reader = std::thread::spawn(move || {
        let lines = output.split(b'\n').map_while(Result::ok);
        lines.map(|line| String::from_utf8_lossy(&line).into_owned() + "\n").collect::<String>()
    });
    let began = Instant::now();
    while machine.0.try_wait().expect("a state").is_none() {
        if began.elapsed() > DEADLINE {
            drop(machine);
            panic!("not done after {DEADLINE:?}:\n{}", reader.join().expect("text"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.join().expect("text")
}

/// The emulator; ended when dropped.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Packs the machine's files into `archive`, by way of the folder `root`.
fn pack(root: &Path, archive: &Path) {
    for folder in ["proc", "sys", "dev", "tmp", "bin"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::write(root.join("init"), include_str!("init.sh")).expect("written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("init"), executable).expect("permissions");
    let this_program = std::env::current_exe().expect("this program");
    // Tests find programs in the folder above their own, where cargo puts them.
    add_stripped(root, &this_program, Path::new("/programs/tests/kernel"));
    let server = Path::new(env!("CARGO_BIN_EXE_da-server"));
    add_stripped(root, server, Path::new("/programs/da-server"));
    let busybox = which_busybox();
    fs::copy(&busybox, inside(root, Path::new(BUSYBOX))).expect("a shell");
    for library in libraries(&[&this_program, server, &busybox]) {
        let to = inside(root, &library);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&library, to).expect("a library");
    }
    let listing = Command::new("find").arg(".").current_dir(root).stdout(Stdio::piped()).spawn();
    let status = Command::new(&busybox)
        .args(["cpio", "-o", "-H", "newc", "-R", "0:0"])
        .current_dir(root)
        .stdin(listing.expect("find starts").stdout.expect("piped"))
        .stdout(fs::File::create(archive).expect("created"))
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("cpio starts").success(), "cpio failed");
}

/// Copies a program without its debug information, which is most of it.
fn add_stripped(root: &Path, program: &Path, path: &Path) {
    let to = inside(root, path);
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    let status =
        Command::new("strip").arg("--strip-debug").arg("-o").arg(&to).arg(program).status();
    assert!(status.expect("strip starts").success(), "strip failed");
}

/// Where an absolute path is inside the machine.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").expect("an absolute path"))
}

fn which_busybox() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    let found = std::env::split_paths(&path).map(|folder| folder.join("busybox"));
    found.into_iter().find(|path| path.is_file()).expect("busybox")
}

/// The shared libraries that programs load; none of one that is linked statically.
fn libraries(programs: &[&Path]) -> Vec<PathBuf> {
    let loaded = |program: &&Path| {
        let output = Command::new("ldd").arg(program).output().expect("ldd starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text: String = programs.iter().map(loaded).collect();
    // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let mut paths: Vec<_> =
        text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    paths
}
