//! The page's own files, and the client that it uses, as they are in the sources.

/// One file.
pub struct Asset {
    pub path: &'static str,
    pub kind: &'static str,
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

macro_rules! page {
    ($path:literal, $kind:ident, $file:literal) => {
        Asset {
            path: $path,
            kind: $kind,
            text: include_str!(concat!("page/", $file)),
        }
    };
    ($file:literal) => {
        Asset {
            path: concat!("/", $file),
            kind: SCRIPT,
            text: include_str!(concat!("page/", $file)),
        }
    };
}

macro_rules! client {
    ($file:literal) => {
        Asset {
            path: concat!("/ringpost/", $file),
            kind: SCRIPT,
            text: include_str!(concat!("../../clients/js/src/", $file)),
        }
    };
}

const ASSETS: &[Asset] = &[
    page!("/", HTML, "index.html"),
    page!("/style.css", CSS, "style.css"),
    page!("/favicon.svg", ICON, "favicon.svg"),
    page!("cluster.js"),
    page!("demo.js"),
    page!("dom.js"),
    page!("ledger.js"),
    page!("nodes.js"),
    page!("pane.js"),
    page!("ring.js"),
    page!("traffic.js"),
    page!("way.js"),
    client!("backoff.js"),
    client!("client.js"),
    client!("connections.js"),
    client!("errors.js"),
    client!("events.js"),
    client!("inbox.js"),
    client!("index.js"),
    client!("link.js"),
    client!("machine.js"),
    client!("memberships.js"),
    client!("options.js"),
    client!("position.js"),
    client!("rooms.js"),
    client!("route.js"),
    client!("seen.js"),
    client!("shell.js"),
    client!("standing.js"),
    client!("urls.js"),
    client!("watches.js"),
    client!("wire.js"),
];

/// The file under that path.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What a script imports, as paths on the page's server.
    fn imports(asset: &Asset) -> Vec<String> {
        let folder = asset.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let lines = asset.text.lines();
        lines
            .filter(|line| line.starts_with("import ") || line.starts_with("export {"))
            .filter_map(|line| line.split_once(" from \""))
            .map(|(_, from)| from.trim_end_matches([';', '"']))
            .map(|from| match from.strip_prefix("./") {
                Some(name) => format!("{folder}/{name}"),
                None => from.to_owned(),
            })
            .collect()
    }

    #[test]
    fn everything_that_a_script_imports_is_served() {
        let mut count = 0;
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            for path in imports(asset) {
                assert!(find(&path).is_some(), "{} imports {path}", asset.path);
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn every_file_of_the_page_and_of_the_client_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (folder, prefix) in [("src/demo/page", "/"), ("clients/js/src", "/ringpost/")] {
            for file in root.join(folder).read_dir().unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                let path = match name.as_str() {
                    "index.html" => "/".to_owned(),
                    name => format!("{prefix}{name}"),
                };
                assert!(find(&path).is_some(), "{path}");
            }
        }
    }
}
