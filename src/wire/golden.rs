//! The bytes of one of each kind of request and reply. They change only together with
//! `PROTOCOL_VERSION`, or where a field is added that older nodes may miss.

use prost::Message as _;

use super::examples::{replies, requests};
use super::proto;

const REQUESTS: &[(&str, &str)] = &[
    (
        "envelope",
        "08ac02122c0a03626f621205616c6963651a026d31220f7b20226122203a203165343030207d28fb \
         f7ecc0b53230023801",
    ),
    (
        "notice",
        "08ac02121d0a03626f621205616c6963651a026d31420028fbf7ecc0b53230023801",
    ),
    (
        "traced envelope",
        "08ac0212560a03626f621205616c6963651a026d31420028fbf7ecc0b532300238014a3730302d30 \
         616637363531393136636434336464383434386562323131633830333139632d6237616436623731 \
         36393230333333312d3031",
    ),
    (
        "traced append",
        "08ac0232650a03626f6212250a05616c69636512026d311a0f7b20226122203a203165343030207d \
         20fbf7ecc0b5322801223730302d3061663736353139313663643433646438343438656232313163 \
         3830333139632d623761643662373136393230333333312d3031",
    ),
    (
        "append",
        "08ac02322c0a03626f6212250a05616c69636512026d311a0f7b20226122203a203165343030207d \
         20fbf7ecc0b5322801",
    ),
    (
        "append behind",
        "08ac02323e0a03626f6212250a05616c69636512026d311a0f7b20226122203a203165343030207d \
         20fbf7ecc0b53228011a107417fbd3f0cae92ce5d771c2d7da73c5",
    ),
    (
        "install",
        "08ac0242fb010a03626f6210071a0b0a026e3110fbf7ecc0b5321a0b0a026e3210fbf7ecc0b53220 \
         ac022ad4010a0b0803111032547698badcfe12020a0012200a0b080211090000000000000010111a \
         0f0a0b0802110a0000000000000010121a3f081210dc0b180122250a05616c69636512026d311a0f \
         7b20226122203a203165343030207d20fbf7ecc0b53228012a0f0a0b0803111032547698badcfe10 \
         041a2c081410dc0b22250a05616c69636512026d311a0f7b20226122203a203165343030207d20fb \
         f7ecc0b53228012015281130123a20443276a1640c9ceca00cc34aaf317e98443276a1640c9ceca0 \
         0cc34aaf317e98420211004a0490bf0500",
    ),
    (
        "replicate append",
        "08ac023a3a0a03626f62100718ad02222e0a2c081510dc0b22250a05616c69636512026d311a0f7b \
         20226122203a203165343030207d20fbf7ecc0b5322801",
    ),
    (
        "replicate both",
        "08ac023a4d0a03626f62100718ad022211120f0a0b0803111032547698badcfe1014222e0a2c0815 \
         10dc0b22250a05616c69636512026d311a0f7b20226122203a203165343030207d20fbf7ecc0b532 \
         2801",
    ),
    ("consent", "08ac024a1008fbf7ecc0b53211ab00000000000000"),
    (
        "offer",
        "08ac02522c0a2a0a03626f62120f0807120b0a026e3110fbf7ecc0b53218ac02220f0a0b08031110 \
         32547698badcfe1014",
    ),
    ("pull of a room", "08ac025a080a06016c6f626279"),
    ("pull", "08ac025a050a03626f62"),
    (
        "offer of a room",
        "08ac02522f0a2d0a06016c6f626279120f0807120b0a026e3110fbf7ecc0b53218ac02220f0a0b08 \
         03111032547698badcfe1014",
    ),
    (
        "register from now",
        "08ac021a1a0a03626f6211efcdab8967452301420030ac0238fbf7ecc0b532",
    ),
    (
        "register new",
        "08ac021a1a0a03626f6211efcdab896745230130ac0238fbf7ecc0b5324801",
    ),
    (
        "register leaving",
        "08ac021a1b0a03626f6211efcdab896745230130ac0238fbf7ecc0b53250ee50",
    ),
    ("replace", "08ac02ca010e0a03626f6211efcdab8967452301"),
    (
        "register fresh",
        "08ac021a1a0a03626f6211efcdab89674523012a0030ac0238fbf7ecc0b532",
    ),
    (
        "register at",
        "08ac021a290a03626f6211efcdab89674523011a0f0a0b0803111032547698badcfe101130ac0238 \
         fbf7ecc0b532",
    ),
    (
        "register unknown",
        "08ac021a1a0a03626f6211efcdab8967452301220030ac0238fbf7ecc0b532",
    ),
    ("unregister", "08ac02220e0a03626f6211efcdab8967452301"),
    (
        "deliver",
        "08ac02628f010a03626f6211efcdab89674523011a0f0a0b0803111032547698badcfe1014222c08 \
         1210dc0b22250a05616c69636512026d311a0f7b20226122203a203165343030207d20fbf7ecc0b5 \
         322801222c081410dc0b22250a05616c69636512026d311a0f7b20226122203a203165343030207d \
         20fbf7ecc0b53228012a0f0a0b0803111032547698badcfe101130ac02",
    ),
    (
        "ack",
        "08ac026a160a03626f62120f0a0b0803111032547698badcfe1014",
    ),
    ("under-replicated", "08ac02720308ac02"),
    ("presence", "08ac022a0c0a05616c6963650a03626f62"),
    ("sessions", "08ac027a050a03626f62"),
    ("disconnect", "08ac028201050a03626f62"),
    (
        "history",
        "08ac028a01190a06016c6f626279120f0a0b0803111032547698badcfe1011",
    ),
    (
        "members",
        "08ac029201200a056c6f62627910011a03626f6222056361726f6c2a04646176653203657665",
    ),
    (
        "announcement",
        "08ac029a01110a056c6f6262791203626f62180120ac02",
    ),
    ("roster", "08ac02a2010f0a056c6f6262791203626f6218e807"),
    ("watch", "08ac02b201050a03626f62"),
    ("unwatch", "08ac02ba01080a06016c6f626279"),
    ("presence change", "08ac02c2010b0a06016c6f62627910ac02"),
    (
        "broadcast",
        "08ac02aa01230a05616c69636512026d311a0f7b20226122203a203165343030207d20fbf7ecc0b5 \
         32",
    ),
];

const REPLIES: &[(&str, &str)] = &[
    ("done", "08ac021001"),
    ("offline", "08ac021002"),
    ("unreachable", "08ac021003"),
    ("unknown", "08ac021004"),
    ("not owner", "08ac021005"),
    ("busy", "08ac021006"),
    ("out of order", "08ac021007"),
    ("inbox full", "08ac021008"),
    ("diverged", "08ac02100a"),
    ("too many", "08ac02100b"),
    ("rate limited", "08ac02100c"),
    ("count", "08ac02100170ac02"),
    ("outdated", "08ac0210093008"),
    ("online", "08ac0210011a040a020100"),
    ("accepted", "08ac021001220408021001"),
    (
        "registered fresh",
        "08ac0210012a110a0f0a0b0803111032547698badcfe1011",
    ),
    (
        "registered with a gap",
        "08ac0210012a130a0f0a0b0803111032547698badcfe10111000",
    ),
    (
        "consented",
        "08ac0210013a3c122a0a03626f62120f0807120b0a026e3110fbf7ecc0b53218ac02220f0a0b0803 \
         111032547698badcfe10141a0b0a026e3110fbf7ecc0b53220ac02",
    ),
    (
        "consented with a ring",
        "08ac0210013a4c0a0e0a060a026e3110010a040a026e32122a0a03626f62120f0807120b0a026e31 \
         10fbf7ecc0b53218ac02220f0a0b0803111032547698badcfe10141a0b0a026e3110fbf7ecc0b532 \
         20ac02",
    ),
    (
        "consented alone",
        "08ac0210013a3e0a00122a0a03626f62120f0807120b0a026e3110fbf7ecc0b53218ac02220f0a0b \
         0803111032547698badcfe10141a0b0a026e3110fbf7ecc0b53220ac02",
    ),
    (
        "pulled",
        "08ac02100142ee010aeb010a0f0807120b0a026e3110fbf7ecc0b53210ac021ad4010a0b08031110 \
         32547698badcfe12020a0012200a0b080211090000000000000010111a0f0a0b0802110a00000000 \
         00000010121a3f081210dc0b180122250a05616c69636512026d311a0f7b20226122203a20316534 \
         3030207d20fbf7ecc0b53228012a0f0a0b0803111032547698badcfe10041a2c081410dc0b22250a \
         05616c69636512026d311a0f7b20226122203a203165343030207d20fbf7ecc0b532280120152811 \
         30123a20443276a1640c9ceca00cc34aaf317e98443276a1640c9ceca00cc34aaf317e9842021100 \
         4a0490bf0500",
    ),
    ("pulled nothing", "08ac0210014200"),
    ("may go", "08ac0210014a040a020001"),
    (
        "sessions",
        "08ac02100152160a140a026e3111efcdab896745230118fbf7ecc0b532",
    ),
    ("no sessions", "08ac0210015200"),
    (
        "sessions and an inbox",
        "08ac021001521712150a0f0a0b0803111032547698badcfe101410111802",
    ),
    ("closed", "08ac02100158ac02"),
    (
        "history",
        "08ac02100162520a0f0a0b0803111032547698badcfe101110011a2c081210dc0b22250a05616c69 \
         636512026d311a0f7b20226122203a203165343030207d20fbf7ecc0b5322801220f0a0b08031110 \
         32547698badcfe1014",
    ),
    ("roster", "08ac0210016a1108ac021205616c6963651203626f621801"),
];

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn compare(encoded: &[(&str, Vec<u8>)], golden: &[(&str, &str)]) {
    assert_eq!(encoded.len(), golden.len());
    for ((name, encoded), (golden_name, golden)) in encoded.iter().zip(golden) {
        assert_eq!(name, golden_name);
        assert_eq!(hex(encoded), golden.replace(' ', ""), "{name}");
    }
}

#[test]
fn the_first_batch_has_the_bytes_it_always_had() {
    let hello = proto::Batch {
        caller: Some(proto::Caller {
            cluster: "ringpost".into(),
            protocol_version: 1,
            node: "n1".into(),
            generation: 1_732_350_000_123,
        }),
        requests: Vec::new(),
    };
    let golden = "0a170a0872696e67706f737410011a026e3120fbf7ecc0b532";
    assert_eq!(hex(&hello.encode_to_vec()), golden);
}

#[test]
fn requests_have_the_bytes_they_always_had() {
    let encoded = requests().into_iter().map(|(name, request)| {
        let request = proto::Request::from((300, request));
        (name, request.encode_to_vec())
    });
    compare(&encoded.collect::<Vec<_>>(), REQUESTS);
}

#[test]
fn replies_have_the_bytes_they_always_had() {
    let encoded = replies()
        .into_iter()
        .map(|(name, reply)| (name, proto::Reply::from(reply).encode_to_vec()));
    compare(&encoded.collect::<Vec<_>>(), REPLIES);
}
