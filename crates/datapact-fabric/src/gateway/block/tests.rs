//! Blocks as peers send them, and as none should.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use datapact_core::contract::{Call, UsageRecord};

use super::*;
use crate::proto::block::{BlockData, BlockMetadata};
use crate::proto::transaction::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ProposalResponsePayload,
    Transaction, TransactionAction,
};
use datapact_chaincode::proto::common::Header;
use datapact_chaincode::proto::peer::ChaincodeId;

pub(crate) fn receipt() -> Receipt {
    let call = serde_json::json!({
        "call": "record-usage",
        "share": "5a".repeat(16),
        "request": "01".repeat(32),
        "report": "02".repeat(32),
        "consumer": "03".repeat(32),
    });
    let Call::RecordUsage(usage) = serde_json::from_value(call).unwrap() else {
        panic!("no usage")
    };
    Receipt::Usage(UsageRecord { usage, time: 7 })
}

fn transaction(id: &str, chaincode: &str, event: &str, payload: &[u8]) -> Bytes {
    let event = ChaincodeEvent {
        chaincode_id: chaincode.to_owned(),
        tx_id: id.to_owned(),
        event_name: event.to_owned(),
        payload: Bytes::copy_from_slice(payload),
    };
    let action = ChaincodeAction {
        events: event.encode_to_vec().into(),
        chaincode_id: Some(ChaincodeId { name: chaincode.to_owned(), ..ChaincodeId::default() }),
        ..ChaincodeAction::default()
    };
    let endorsed = ProposalResponsePayload {
        extension: action.encode_to_vec().into(),
        ..ProposalResponsePayload::default()
    };
    let payload = ChaincodeActionPayload {
        action: Some(ChaincodeEndorsedAction {
            proposal_response_payload: endorsed.encode_to_vec().into(),
            endorsements: Vec::new(),
        }),
        ..ChaincodeActionPayload::default()
    };
    let action = TransactionAction {
        payload: payload.encode_to_vec().into(),
        ..TransactionAction::default()
    };
    let header = ChannelHeader {
        r#type: ENDORSER_TRANSACTION,
        tx_id: id.to_owned(),
        ..ChannelHeader::default()
    };
    let header = Header { channel_header: header.encode_to_vec().into(), ..Header::default() };
    let data = Transaction { actions: vec![action] }.encode_to_vec().into();
    let payload = Payload { header: Some(header), data }.encode_to_vec().into();
    Envelope { payload, signature: Bytes::new() }.encode_to_vec().into()
}

fn block(number: u64, data: Vec<Bytes>, codes: &[u8]) -> Block {
    let data_hash = Bytes::copy_from_slice(digest(&SHA256, &data.concat()).as_ref());
    Block {
        header: Some(BlockHeader {
            number,
            previous_hash: Bytes::from_static(&[9; 32]),
            data_hash,
        }),
        data: Some(BlockData { data }),
        metadata: Some(BlockMetadata {
            metadata: vec![Bytes::new(), Bytes::new(), Bytes::copy_from_slice(codes)],
        }),
    }
}

fn announced() -> Vec<u8> {
    serde_json::to_vec(
        &serde_json::json!({ "contract_version": 1, "receipt": receipt(), "time": 7 }),
    )
    .unwrap()
}

#[test]
fn only_valid_transactions_of_the_contract_count_each_at_its_place() {
    let said = announced();
    let data = vec![
        transaction("a", "datapact", "datapact", &said),
        transaction("b", "other", "datapact", b"whatever"),
        Bytes::from_static(b"\xff\xff\xff"),
        transaction("c", "datapact", "other", b"whatever"),
        transaction("d", "datapact", "datapact", &said),
        transaction("e", "datapact", "datapact", &said),
    ];
    let block = CommittedBlock::read(block(5, data, &[11, 0, 255, 0, 0, 0]), "datapact").unwrap();
    let found: Vec<_> = block.events().map(|event| event.position).collect();
    assert_eq!(found, [position(5, 4), position(5, 5)]);
    let ids: Vec<_> = block.transactions.iter().map(|it| (it.id.as_str(), it.code)).collect();
    assert_eq!(ids, [("a", 11), ("b", 0), ("", 255), ("c", 0), ("d", 0), ("e", 0)]);
    assert_eq!(block.events().next().unwrap().receipt, receipt());
    assert_eq!(datapact_ledger::blocks::block_of(found[1]), 5);
}

#[test]
fn a_block_that_contradicts_itself_is_not_believed() {
    let good = block(5, vec![transaction("a", "datapact", "datapact", &announced())], &[0]);
    CommittedBlock::read(good.clone(), "datapact").unwrap();
    type Edit = (&'static str, fn(&mut Block));
    let edits: [Edit; 6] = [
        ("no header", |block| block.header = None),
        ("are not those", |block| block.data.as_mut().unwrap().data.push(Bytes::from_static(b"x"))),
        ("validation codes", |block| block.metadata = None),
        ("out of range", |block| block.header.as_mut().unwrap().number = u64::MAX),
        ("cannot be read", |it| {
            *it = block(5, vec![transaction("a", "datapact", "datapact", b"{}")], &[0])
        }),
        ("version 2", |it| {
            let later =
                String::from_utf8(announced()).unwrap().replace("version\":1", "version\":2");
            *it = block(5, vec![transaction("a", "datapact", "datapact", later.as_bytes())], &[0]);
        }),
    ];
    for (said, edit) in edits {
        let mut bad = good.clone();
        edit(&mut bad);
        let error = CommittedBlock::read(bad, "datapact").unwrap_err();
        assert!(matches!(error, LedgerError::Corrupt { .. }));
        assert!(error.to_string().contains(said), "`{error}` does not say `{said}`");
    }
}

#[test]
fn cut_and_changed_bytes_are_no_reason_to_panic() {
    let good = block(5, vec![transaction("a", "datapact", "datapact", &announced())], &[0])
        .encode_to_vec();
    for at in 0..good.len() {
        if let Ok(block) = Block::decode(&good[..at]) {
            let _ = CommittedBlock::read(block, "datapact");
        }
        let mut changed = good.clone();
        changed[at] ^= 0x81;
        if let Ok(mut changed) = Block::decode(changed.as_slice()) {
            // So that it is read to its end.
            if let (Some(header), Some(data)) = (changed.header.as_mut(), changed.data.as_ref()) {
                header.data_hash =
                    Bytes::copy_from_slice(digest(&SHA256, &data.data.concat()).as_ref());
            }
            let _ = CommittedBlock::read(changed, "datapact");
        }
    }
}

/// Blocks of a real channel, from the first one on.
#[derive(Deserialize)]
struct Recording {
    chaincode: String,
    blocks: Vec<String>,
}

#[test]
fn blocks_of_a_real_channel_link_and_say_what_was_recorded() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fabric/blocks.json");
    let recorded: Recording = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let blocks: Vec<Vec<u8>> =
        recorded.blocks.iter().map(|text| hex::decode(text).unwrap()).collect();
    let mut previous: Option<BlockHash> = None;
    let (mut events, mut codes) = (Vec::new(), Vec::new());
    for (number, bytes) in (0..).zip(&blocks) {
        let read =
            CommittedBlock::read(Block::decode(bytes.as_slice()).unwrap(), &recorded.chaincode)
                .unwrap();
        assert_eq!(read.number, number);
        assert!(previous.is_none_or(|hash| read.previous_hash == hash.as_slice()));
        previous = Some(read.hash);
        events.extend(read.events().cloned());
        codes.extend(read.transactions.iter().map(|it| it.code));
    }
    // A share, and one access of each of two requests that were in each other's way.
    assert_eq!(events.len(), 3);
    assert!(matches!(events[0].receipt, Receipt::Policy(_)));
    let mut accesses: Vec<u32> = Vec::new();
    for event in &events[1..] {
        let Receipt::Access(access) = &event.receipt else { panic!("no access") };
        assert_eq!(event.time, access.time);
        accesses.push(access.access);
    }
    assert_eq!(accesses, [1, 2]);
    assert!(codes.contains(&11), "one had to be asked for again: MVCC_READ_CONFLICT");

    let last = blocks.last().unwrap();
    for at in (0..last.len()).step_by(5) {
        let mut changed = last.clone();
        changed[at] ^= 0x55;
        if let Ok(block) = Block::decode(changed.as_slice()) {
            let _ = CommittedBlock::read(block, &recorded.chaincode);
        }
    }
}

#[test]
fn a_headers_hash_is_of_its_der() {
    let header = |number| BlockHeader {
        number,
        previous_hash: Bytes::from_static(&[1; 32]),
        data_hash: Bytes::from_static(&[2; 32]),
    };
    let der = |number: &[u8]| {
        let length = u8::try_from(2 + number.len() + 34 + 34).unwrap();
        let mut der = vec![0x30, length, 0x02, u8::try_from(number.len()).unwrap()];
        der.extend(number);
        der.extend([0x04, 32]);
        der.extend([1; 32]);
        der.extend([0x04, 32]);
        der.extend([2; 32]);
        digest(&SHA256, &der).as_ref().to_vec()
    };
    for (number, encoded) in [
        (0, &[0][..]),
        (127, &[127]),
        (128, &[0, 128]),
        (256, &[1, 0]),
        (u64::MAX, &[0, 255, 255, 255, 255, 255, 255, 255, 255]),
    ] {
        assert_eq!(hash(&header(number)).to_vec(), der(encoded));
    }
}
