//! A chain of one contract: what a transaction answers, emits, changes and costs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use alloy::primitives::{Address, B256, Bytes, LogData, TxKind, U256, keccak256};
use alloy::sol_types::SolCall;
use datapact_core::contract::{Call, Receipt};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_evm::abi::{self, Target, sol_types::Registry};
use revm::bytecode::Bytecode;
use revm::context::result::{ExecutionResult, Output};
use revm::context::{BlockEnv, Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{DatabaseCommit, DatabaseRef, ExecuteEvm, MainBuilder, MainContext};

alloy::sol! {
    /// What only readers of the state call.
    interface Views {
        struct StoredPolicy {
            bytes32 digest;
            bytes32 policy;
            bytes32 owner;
            bytes32 package;
            bytes16 share;
            uint32 number;
            uint32 version;
            uint8 state;
            bool unlimited;
            uint32 accessTimes;
            uint64 notBefore;
            uint64 expires;
            bool readOnly;
            uint64 time;
        }
        function kept() external view returns (StoredPolicy);
        function contractOf(bytes16 share)
            external view returns (address contractAddress, bool exists);
        function numberOf(bytes16 share) external view returns (uint32);
        function usageOf(bytes32 report) external view returns (uint64 time);
        function owner() external view returns (address);
        function transferOwnership(address account) external;
        function acceptOwnership() external;
    }
}

pub const OWNER: Address = Address::repeat_byte(0x0a);
pub const MANAGEMENT: Address = Address::repeat_byte(0x0b);
const GAS_MAX: u64 = 100_000_000;

/// Where state lies, as `docs/spec/ethereum.md` says.
pub mod slot {
    pub const SHARE_POLICY: u64 = 0;
    pub const SHARE_GRANTED: u64 = 1;
    pub const REGISTRY_SUBMITTER: u64 = 2;
    pub const REGISTRY_NUMBER: u64 = 3;
    pub const REGISTRY_ACCESS: u64 = 4;
    pub const REGISTRY_USAGE: u64 = 5;
}

/// A changed storage word, or a new contract's code.
pub type Change = (Address, Option<U256>);

#[derive(Debug)]
pub struct Sent {
    /// What it returned, or reverted with.
    pub answer: Result<Bytes, Bytes>,
    pub logs: Vec<(Address, LogData)>,
    pub changes: BTreeSet<Change>,
    pub gas: u64,
}

impl Sent {
    /// The receipts that the registry announced.
    pub fn receipts(&self, chain: &Chain) -> Vec<Receipt> {
        assert!(
            self.logs.iter().all(|(address, _)| *address == chain.registry),
            "all events are the registry's"
        );
        self.logs.iter().filter_map(|(_, log)| abi::receipt(log).unwrap()).collect()
    }
}

#[derive(Clone)]
pub struct Chain {
    state: CacheDB<EmptyDB>,
    pub registry: Address,
    pub implementation: Address,
    pub deployment_gas: u64,
}

impl Chain {
    /// A chain with nothing but the registry.
    pub fn deployed() -> Self {
        static DEPLOYED: LazyLock<Chain> = LazyLock::new(Chain::deploy);
        DEPLOYED.clone()
    }

    fn deploy() -> Self {
        let artifact: serde_json::Value = serde_json::from_str(include_str!(
            "../../../../contracts/artifacts/DatapactRegistry.json"
        ))
        .unwrap();
        let code: Bytes = artifact["bytecode"].as_str().unwrap().parse().unwrap();
        let creation = [code.as_ref(), &abi::constructor(OWNER, MANAGEMENT)].concat();
        let mut chain = Self {
            state: CacheDB::default(),
            registry: Address::ZERO,
            implementation: Address::ZERO,
            deployment_gas: 0,
        };
        let (sent, created) = chain.transact(OWNER, TxKind::Create, creation.into(), 1);
        sent.answer.unwrap();
        (chain.registry, chain.deployment_gas) = (created.unwrap(), sent.gas);
        chain.implementation = chain.view(chain.registry, Registry::implementationCall {});
        chain
    }

    pub fn share_address(&self, share: &ShareId) -> Address {
        abi::share_address(self.registry, self.implementation, share)
    }

    /// Sends `call` as management does.
    pub fn execute(&mut self, call: &Call, time: Timestamp) -> Sent {
        self.execute_as(MANAGEMENT, call, time)
    }

    pub fn execute_as(&mut self, sender: Address, call: &Call, time: Timestamp) -> Sent {
        let (target, input) = abi::input(call);
        let to = match target {
            Target::Registry => self.registry,
            Target::Share => {
                let share = call.share().0.into();
                self.view(self.registry, Views::contractOfCall { share }).contractAddress
            }
        };
        self.send(sender, to, input, time)
    }

    pub fn send(&mut self, sender: Address, to: Address, input: Bytes, time: Timestamp) -> Sent {
        self.transact(sender, TxKind::Call(to), input, time).0
    }

    fn transact(
        &mut self,
        sender: Address,
        kind: TxKind,
        data: Bytes,
        time: Timestamp,
    ) -> (Sent, Option<Address>) {
        let mut evm = Context::mainnet()
            .with_db(&mut self.state)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::BERLIN);
                cfg.disable_nonce_check = true;
                cfg.disable_eip3607 = true; // So that a test can call as a contract would.
            })
            .with_block(BlockEnv { timestamp: U256::from(time), ..BlockEnv::default() })
            .build_mainnet();
        let transaction = TxEnv {
            caller: sender,
            gas_limit: GAS_MAX,
            gas_price: 0,
            kind,
            data,
            ..TxEnv::default()
        };
        let done = evm.transact(transaction).unwrap();
        let changes = done
            .state
            .iter()
            .flat_map(|(address, account)| {
                let slots =
                    account.changed_storage_slots().map(|(slot, _)| (*address, Some(*slot)));
                slots.chain(account.is_created().then_some((*address, None))).collect::<Vec<_>>()
            })
            .collect();
        drop(evm);
        let gas = done.result.tx_gas_used();
        let (answer, logs, created) = match done.result {
            ExecutionResult::Success { output: Output::Call(bytes), logs, .. } => {
                (Ok(bytes), logs, None)
            }
            ExecutionResult::Success { output: Output::Create(bytes, at), logs, .. } => {
                (Ok(bytes), logs, at)
            }
            ExecutionResult::Revert { output, .. } => (Err(output), Vec::new(), None),
            ExecutionResult::Halt { reason, .. } => panic!("halted: {reason:?}"),
        };
        self.state.commit(done.state);
        let logs = logs.into_iter().map(|log| (log.address, log.data)).collect();
        (Sent { answer, logs, changes, gas }, created)
    }

    /// What a view says; it must not refuse.
    pub fn view<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let mut copy = self.clone();
        let sent = copy.send(Address::ZERO, to, call.abi_encode().into(), 1);
        assert!(sent.changes.is_empty() && sent.logs.is_empty());
        C::abi_decode_returns_validate(&sent.answer.unwrap()).unwrap()
    }

    pub fn kept(&self, share: &ShareId) -> Views::StoredPolicy {
        self.view(self.share_address(share), Views::keptCall {})
    }

    pub fn granted(&self, share: &ShareId, consumer: &Commitment) -> u32 {
        let consumer = consumer.0.into();
        self.view(self.share_address(share), abi::sol_types::Share::grantedCall { consumer })
    }

    pub fn access_of(&self, request: &Digest) -> (u32, u64) {
        let found = self.view(self.registry, Registry::accessOfCall { request: request.0.into() });
        (found.access, found.time)
    }

    pub fn usage_of(&self, report: &Digest) -> u64 {
        self.view(self.registry, Views::usageOfCall { report: report.0.into() })
    }

    pub fn number_of(&self, share: &ShareId) -> u32 {
        self.view(self.registry, Views::numberOfCall { share: share.0.into() })
    }

    pub fn load(&self, address: Address, slot: U256) -> U256 {
        self.state.storage_ref(address, slot).unwrap()
    }

    pub fn store(&mut self, address: Address, slot: U256, word: U256) {
        self.state.insert_account_storage(address, slot, word).unwrap();
    }

    pub fn code(&self, address: Address) -> Vec<u8> {
        let account = self.state.basic_ref(address).unwrap().unwrap();
        self.state.code_by_hash_ref(account.code_hash).unwrap().original_bytes().to_vec()
    }

    pub fn replace_code(&mut self, address: Address, code: Vec<u8>) {
        let account = self.state.basic_ref(address).unwrap().unwrap();
        let code = Bytecode::new_raw(code.into());
        let account = AccountInfo { code_hash: code.hash_slow(), code: Some(code), ..account };
        self.state.insert_account_info(address, account);
    }
}

/// The storage slot of a mapping's value (Solidity's layout).
pub fn entry(key: B256, mapping: u64) -> U256 {
    keccak256([key.0, U256::from(mapping).to_be_bytes()].concat()).into()
}

pub fn share_key(share: &ShareId) -> B256 {
    B256::right_padding_from(share.as_bytes())
}
