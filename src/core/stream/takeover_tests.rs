//! Copies that are fetched by whoever becomes the owner.

use super::fixtures::{LIMITS, Moment, Told, epoch, holder, message};
use super::*;
use crate::core::peer::{Offer, Pulled};

#[test]
fn what_waits_for_its_turn_is_fetched_as_soon_as_something_has_come() {
    const COUNT: usize = 50;
    let both = Moment::of(&["n1", "n2"], 1);
    let mut log = Log::new(epoch(1));
    log.append(both.now, message("m1", 1), &LIMITS).unwrap();
    let config = ConfigId {
        number: 1,
        owner: holder("n2"),
    };
    let offers: Vec<Offer> = (both.inboxes_of(&["n1", "n2"]).take(COUNT))
        .map(|key| Offer {
            key,
            config: config.clone(),
            seq: 2,
            tip: log.tip(),
        })
        .collect();
    let mut streams = Streams::new(holder("n1"));
    both.with(|ctx| {
        streams.offered(ctx, &holder("n2"), &offers);
        streams.advance(ctx);
    });
    let mut asked = Told::by(&mut streams).asked;
    let mut pulls = 0;
    assert_eq!(asked.len(), 8);
    // There is no tick from here on. The copies of what is taken over do not come to an end.
    while let Some((_, _, about)) = asked.pop() {
        let About::Pull { key, from } = about else {
            continue;
        };
        pulls += 1;
        // One in five does not come, and is fetched again when there is a tick.
        let pulled = (pulls % 5 != 0).then(|| {
            Some(Pulled {
                config: config.clone(),
                seq: 2,
                snapshot: log.snapshot(both.now),
            })
        });
        both.with(|ctx| streams.pulled(ctx, &key, &from, pulled));
        asked.extend(Told::by(&mut streams).asked);
        let is_pull = |(_, _, about): &&(_, _, About)| matches!(about, About::Pull { .. });
        let under_way = asked.iter().filter(is_pull).count();
        assert_eq!(under_way, (COUNT - pulls).min(8));
    }
    assert_eq!((pulls, streams.taken_over()), (COUNT, 40));
    both.with(|ctx| streams.advance(ctx));
    let asked = Told::by(&mut streams).asked;
    let is_pull = |(_, _, about): &&(_, _, About)| matches!(about, About::Pull { .. });
    assert_eq!(asked.iter().filter(is_pull).count(), 8);
}
