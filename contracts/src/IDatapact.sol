// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the contract's calls, records, events and refusals are
/// @notice The Solidity twin of `datapact_core::contract`, version 1. Rules and their order: `docs/spec/contract.md`;
/// how calls are encoded here: `docs/spec/ethereum.md`. Nothing here identifies a person (PR-1): people are salted
/// commitments, documents are their SHA-256 digests, attributes are codes that stand only where a policy asks for them.
interface IDatapact {
    /// @notice Whether a share gives access. Revoked is final.
    enum ShareState {
        Active,
        Suspended,
        Revoked
    }

    /// @notice Who may access: values of a kind are alternatives, every kind that lists values must hold. Each list
    /// is strictly ascending by bytes and has at most 256 values.
    /// @param anyone said outright when none of users, organisations, industries and countries is restricted
    /// @param users commitments of named users
    /// @param organisations names of 1 to 64 of `A-Z a-z 0-9 . _ -`
    /// @param industries ASCII codes, zeros after, such as `isic4:86` or `nace2:86.10`; each covers its subdivisions
    /// @param countries ISO 3166-1 alpha-2 codes in ASCII, upper case
    /// @param purposes names, one of which the consumer must state
    struct Terms {
        bool anyone;
        bytes32[] users;
        string[] organisations;
        bytes11[] industries;
        bytes2[] countries;
        string[] purposes;
    }

    /// @notice Creates a share or sets its next policy version; suspending, resuming and revoking are successors.
    /// @param share the share
    /// @param version from 1, one more than the predecessor's
    /// @param previous the predecessor's document id; 0 stands for none, in version 1
    /// @param policy this policy's document id
    /// @param owner the provider's commitment
    /// @param state whether the share gives access
    /// @param package digest of the package's metadata document
    /// @param terms who may access
    /// @param unlimited whether consumers may access without limit; then `accessTimes` is 0
    /// @param accessTimes how often each consumer may access, otherwise at least 1
    /// @param notBefore the first moment of access, in seconds since 1970
    /// @param expires the expiration time: from it on nothing is granted
    /// @param readOnly whether the consumer may only look
    struct SetPolicy {
        bytes16 share;
        uint32 version;
        bytes32 previous;
        bytes32 policy;
        bytes32 owner;
        ShareState state;
        bytes32 package;
        Terms terms;
        bool unlimited;
        uint32 accessTimes;
        uint64 notBefore;
        uint64 expires;
        bool readOnly;
    }

    /// @notice Asks for one access. A code stands exactly where the policy's terms list values of its kind.
    /// @param share the share
    /// @param policy document id of the policy version that the consumer accepts
    /// @param request the access request's document id: the request id
    /// @param consumer the consumer's commitment
    /// @param organisation the consumer's organisation; empty for none
    /// @param industry the consumer's industry; 0 for none
    /// @param country the consumer's country; 0 for none
    /// @param purpose the purpose stated; empty for none
    struct RequestAccess {
        bytes16 share;
        bytes32 policy;
        bytes32 request;
        bytes32 consumer;
        string organisation;
        bytes11 industry;
        bytes2 country;
        string purpose;
    }

    /// @notice Records what was done under an access.
    /// @param share the share
    /// @param request the request id of the access
    /// @param report the usage report's document id
    /// @param consumer the reporter's commitment: the access's consumer
    struct RecordUsage {
        bytes16 share;
        bytes32 request;
        bytes32 report;
        bytes32 consumer;
    }

    // One error for each rule that refuses, in the order of core's `Refusal`.

    /// @notice No such share.
    error UnknownShare();
    /// @notice The call contradicts itself; `detail` is for people.
    error Malformed(string detail);
    /// @notice The version is not the next one, `expected`.
    error Version(uint32 expected);
    /// @notice The predecessor named is not the newest version.
    error Predecessor();
    /// @notice Somebody else than the owner.
    error Owner();
    /// @notice The share is revoked, which is final.
    error Revoked();
    /// @notice The share is suspended.
    error Suspended();
    /// @notice The request accepts a version that is no longer the newest.
    error Superseded();
    /// @notice Before the first moment of access.
    error NotYet(uint64 notBefore);
    /// @notice At or after the expiration time.
    error Expired(uint64 expires);
    /// @notice Not a named user.
    error User();
    /// @notice Another organisation.
    error Organisation();
    /// @notice Another industry.
    error Industry();
    /// @notice Another country.
    error Country();
    /// @notice No purpose stated, or another than those allowed.
    error Purpose();
    /// @notice All accesses are used up.
    error AccessTimes(uint32 accessTimes);
    /// @notice The id of the request or report is taken by another call.
    error RequestTaken();
    /// @notice No such access.
    error UnknownAccess();
    /// @notice Somebody else's access.
    error Consumer();
    /// @notice All usage reports of the access are recorded.
    error UsageReports(uint32 usageReports);

    // What is no rule of the contract: the caller's mistakes.

    /// @notice `account` is not management, the one submitter of calls.
    error NotSubmitter(address account);
    /// @notice `account` is not a contract of this registry.
    error NotOurs(address account);
    /// @notice The call is for `share`, and this contract is another share's.
    error WrongShare(bytes16 share);
}

/// @title The registry: creates one contract for each share, keeps access and usage records, announces every change
/// @notice All events of all shares come from the registry's one address, in the ledger's order.
interface IDatapactRegistry is IDatapact {
    /// @notice A share was created or its next policy version set: the receipt of `setPolicy`.
    /// @param contractAddress the share's own contract
    event PolicySet(bytes16 indexed share, bytes32 indexed policy, address contractAddress, SetPolicy call, uint64 time);
    /// @notice An access was granted: the receipt of `requestAccess`.
    /// @param access which access of this consumer it is, from 1
    event AccessGranted(
        bytes16 indexed share,
        bytes32 indexed request,
        bytes32 indexed consumer,
        RequestAccess call,
        uint32 access,
        uint64 time
    );
    /// @notice A usage report was recorded: the receipt of `recordUsage`.
    event UsageRecorded(
        bytes16 indexed share, bytes32 indexed request, bytes32 indexed report, RecordUsage call, uint64 time
    );
    /// @notice Another account submits calls from now on.
    event SubmitterReplaced(address indexed previous, address indexed current);

    /// @notice Creates a share or sets its next policy version. Only the submitter may.
    /// @return contractAddress the share's own contract
    /// @return time when it was set; for a repeat, when it first was
    /// @return repeated whether the very same call stands already: then nothing is written or announced
    function setPolicy(SetPolicy calldata call) external returns (address contractAddress, uint64 time, bool repeated);

    /// @notice Records a usage report. Only the submitter may.
    /// @return time when it was recorded; for a repeat, when it first was
    /// @return repeated whether the very same call stands already: then nothing is written or announced
    function recordUsage(RecordUsage calldata call) external returns (uint64 time, bool repeated);

    /// @notice Where `requestAccess` for `share` is to be sent: the share's own contract, whose address is the one for
    /// executing the smart contract; for a share that does not exist, the contract that refuses as such a share does.
    function contractOf(bytes16 share) external view returns (address contractAddress, bool exists);

    /// @notice The share's number, in the order of creation, from 1; 0 when there is no such share.
    function numberOf(bytes16 share) external view returns (uint32);

    /// @notice Which access of its consumer the request was granted as, and when; 0 when it was not.
    function accessOf(bytes32 request) external view returns (uint32 access, uint64 time);

    /// @notice When the report was recorded; 0 when it was not.
    function usageOf(bytes32 report) external view returns (uint64 time);

    /// @notice The one account that submits calls: management's.
    function submitter() external view returns (address);

    /// @notice Makes `account` the submitter. Only the registry's owner may.
    function replaceSubmitter(address account) external;

    /// @notice The contract whose clones the shares' contracts are.
    function implementation() external view returns (address);

    /// @notice The version of the rules, as in each ledger entry of core: 1.
    function contractVersion() external view returns (uint32);

    // Called by the shares' contracts.

    /// @notice The submitter and what is kept about a request, 0 for nothing: `Records` says how.
    function lookUp(bytes32 request) external view returns (address account, bytes32 record);

    /// @notice Keeps and announces an access. Only the share's own contract may, which says the share's `number`.
    function recordAccess(RequestAccess calldata call, uint32 access, uint32 number) external;
}

/// @title A share's own contract: it keeps the newest policy, decides every access and counts
interface IDatapactShare is IDatapact {
    /// @notice A share's newest policy as it is kept. Named organisations and purposes stand in the event that announced
    /// it; `digest` is keccak256 of its ABI-encoded `SetPolicy`, so that the event can be compared.
    struct Kept {
        bytes32 digest;
        bytes32 policy;
        bytes32 owner;
        bytes32 package;
        bytes16 share;
        uint32 number;
        uint32 version;
        ShareState state;
        bool unlimited;
        uint32 accessTimes;
        uint64 notBefore;
        uint64 expires;
        bool readOnly;
        uint64 time;
    }

    /// @notice Asks for one access. Only the submitter may.
    /// @return access which access of this consumer it is, from 1
    /// @return time when it was granted; for a repeat, when it first was
    /// @return repeated whether the very same call was granted before: then nothing is written or announced
    function requestAccess(RequestAccess calldata call)
        external
        returns (uint32 access, uint64 time, bool repeated);

    /// @notice Sets the next policy version. Only the registry may, which says the share's `number`.
    /// @return time when it was set; for a repeat, when it first was
    /// @return repeated whether the very same policy stands already
    function setPolicy(SetPolicy calldata call, uint32 number) external returns (uint64 time, bool repeated);

    /// @notice The newest policy.
    function kept() external view returns (Kept memory);

    /// @notice How many accesses were granted to `consumer`, under all policy versions.
    function granted(bytes32 consumer) external view returns (uint32);

    /// @notice The registry that has made this contract.
    function registry() external view returns (address);
}
