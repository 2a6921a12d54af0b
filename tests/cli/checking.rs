//! `serve --check`: the files that a configuration names, and what is unsafe in it.

use std::path::PathBuf;

use crate::{output, ringpost};

/// A file that only its owner may read, and that is gone when the test ends.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).unwrap();
        let secret = Self(path);
        #[cfg(unix)]
        secret.chmod(0o600);
        secret
    }

    #[cfg(unix)]
    fn chmod(&self, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&self.0, permissions).unwrap();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const CHECK: &str = "serve --check --id n1 --insecure-users";

#[test]
fn a_file_that_cannot_be_used_is_refused_by_its_flag() {
    let short = Secret::new("short", "short\n");
    let long = Secret::new("long", "0123456789abcdef0123456789abcdef");
    for (flag, words) in [
        ("--cluster-secret-file", "fewer than 32"),
        ("--api-keys-file", "fewer than 16"),
    ] {
        for (file, words) in [
            (&short.0, words),
            (&PathBuf::from("/no/such"), "cannot be read"),
        ] {
            let (code, out, error) = output(ringpost(CHECK).arg(flag).arg(file));
            assert_eq!((code, out.as_str()), (2, ""), "{flag}: {error}");
            assert!(error.contains(flag) && error.contains(words), "{error}");
            assert!(!error.contains("short\n"), "{error}");
        }
        let (code, _, error) = output(ringpost(CHECK).arg(flag).arg(&long.0));
        assert_eq!(code, 0, "{flag}: {error}");
    }
    let [ca, cert, key] = ["--peer-ca", "--peer-cert", "--peer-key"];
    let mut command = ringpost(CHECK);
    command.args([ca]).arg(&long.0).args([cert]).arg(&long.0);
    let (code, _, error) = output(command.args([key]).arg(&long.0));
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("--peer-ca") && error.contains("no certificate"),
        "{error}"
    );
    let mut command = ringpost("serve --id n1 --insecure-users --peer-listen 127.0.0.1:0");
    command.arg("--cluster-secret-file").arg(&short.0);
    let (code, _, error) = output(&mut command);
    assert_eq!(code, 2, "it does not start either: {error}");
}

#[test]
fn what_is_unsafe_is_warned_of_and_does_not_fail() {
    let lines = |error: &str| -> Vec<String> {
        assert!(
            error.lines().all(|line| line.starts_with("# warning: ")),
            "{error}"
        );
        error.lines().map(str::to_owned).collect()
    };
    let line = format!("{CHECK} --seeds 127.0.0.1:1,127.0.0.1:2 --advertise-url ws://n1.example");
    let (code, out, error) = output(&mut ringpost(&line));
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("# ok"), "{out}");
    let warned = lines(&error);
    assert_eq!(warned.len(), 4, "{warned:?}");
    for words in [
        "--insecure-users",
        "--cluster-secret-file",
        "--api-keys-file",
        "ws://",
    ] {
        assert!(
            warned.iter().any(|line| line.contains(words)),
            "{words}: {warned:?}"
        );
    }
    let secret = Secret::new("secret", "0123456789abcdef0123456789abcdef");
    let keys = Secret::new("keys", "0123456789abcdef");
    let safer = || {
        let mut command = ringpost(&format!("{CHECK} --seeds 127.0.0.1:1,127.0.0.1:2"));
        command.arg("--cluster-secret-file").arg(&secret.0);
        command.arg("--api-keys-file").arg(&keys.0);
        output(&mut command)
    };
    let warned = lines(&safer().2);
    assert_eq!(warned.len(), 1, "only of users: {warned:?}");
    #[cfg(unix)]
    {
        keys.chmod(0o644);
        let warned = lines(&safer().2);
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(warned[1].contains("--api-keys-file") && warned[1].contains("chmod"));
    }
}
