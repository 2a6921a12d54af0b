//! Client libraries that drop `Authorization` when they are redirected reach their node all the same.

use crate::cluster;
use crate::issuer::{Issuer, KeyFile};
use crate::support::python::Script;
use crate::{url, user_of};

fn reaches_the_owner_with_a_header(module: &str) {
    let Some(script) = Script::with(module) else {
        return;
    };
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(3, &keys, &[]);
    let users = [user_of(&cluster, &issuer, 1), user_of(&cluster, &issuer, 2)];
    let [sender, recipient] = &users;
    let token = |user: &str| issuer.token(user, 3600);
    for start in &cluster.nodes {
        let at = url(start, "");
        let result = script.run(&[&at, &at, recipient, &token(sender), &token(recipient)]);
        assert_eq!(result["nodes"], serde_json::json!(["n2", "n3"]), "{result}");
        assert_eq!(result["message"]["from"], sender.as_str(), "{result}");
        assert_eq!(result["receipt"]["status"], "sent", "{result}");
    }
}

#[test]
fn pythons_websockets_reaches_the_owner_with_a_header() {
    reaches_the_owner_with_a_header("websockets");
}

#[test]
fn aiohttp_reaches_the_owner_with_a_header() {
    reaches_the_owner_with_a_header("aiohttp");
}
