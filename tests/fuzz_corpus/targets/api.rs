//! What backends ask for.

use ringpost::core::api::order::{self, Order};
use ringpost::core::api::reply;
use ringpost::core::api::route::{Call, ROOM_USERS_MAX, route};
use ringpost::core::api::{BATCH_MESSAGES_MAX, Fault};

use super::requests::check_send;

const MESSAGE_BYTES_MAX: usize = 300;

/// A line with a method, a path and a query, then a body.
pub fn api(data: &[u8]) {
    let split = data.iter().position(|&byte| byte == b'\n');
    let (line, body) = data.split_at(split.map_or(data.len(), |at| at + 1));
    if let Ok(line) = std::str::from_utf8(line) {
        let (method, target) = line.trim_end().split_once(' ').unwrap_or(("GET", line));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match route(method, path, query) {
            Ok(Call::Room(asked)) => assert!((1..=ROOM_USERS_MAX).contains(&asked.limit)),
            Ok(_) => {}
            Err(fault) => check_fault(&fault),
        }
    }
    match order::parse(body, MESSAGE_BYTES_MAX) {
        Ok(Order::One(item)) => check_item(item),
        Ok(Order::Many(items)) => {
            assert!(items.len() <= BATCH_MESSAGES_MAX);
            items.into_iter().for_each(check_item);
        }
        Err(fault) => check_fault(&fault),
    }
}

fn check_item(item: Result<order::Item<'_>, order::Refused>) {
    match item {
        Ok(item) => check_send(&item.send),
        Err(refused) => {
            let (id, receipt) = refused.into_receipt();
            let answer = reply::receipts([(id.as_deref(), &receipt)]);
            assert!(serde_json::from_slice::<serde_json::Value>(&answer).is_ok());
        }
    }
}

fn check_fault(fault: &Fault) {
    assert!((400..500).contains(&fault.status));
    let answer = reply::error(fault.code, &fault.message);
    assert!(answer.len() < 1000, "a request is not quoted at length");
    assert!(serde_json::from_slice::<serde_json::Value>(&answer).is_ok());
}
