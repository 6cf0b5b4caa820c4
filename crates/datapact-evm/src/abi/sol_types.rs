//! The interface of `contracts/src/IDatapact.sol`; a test compares it with what the compiler says.
#![allow(
    missing_docs,
    clippy::too_many_arguments,
    clippy::indexing_slicing,
    reason = "generated from the interface"
)]

use alloy::sol;

sol! {
    #[derive(Debug, PartialEq)]
    enum ShareState { Active, Suspended, Revoked }

    #[derive(Debug, PartialEq)]
    struct Terms {
        bool anyone;
        bytes32[] users;
        string[] organisations;
        bytes11[] industries;
        bytes2[] countries;
        string[] purposes;
    }

    #[derive(Debug, PartialEq)]
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

    #[derive(Debug, PartialEq)]
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

    #[derive(Debug, PartialEq)]
    struct RecordUsage {
        bytes16 share;
        bytes32 request;
        bytes32 report;
        bytes32 consumer;
    }

    #[derive(Debug)]
    interface Registry {
        constructor(address owner, address submitter);

        error UnknownShare();
        error Malformed(string detail);
        error Version(uint32 expected);
        error Predecessor();
        error Owner();
        error Revoked();
        error Suspended();
        error Superseded();
        error NotYet(uint64 notBefore);
        error Expired(uint64 expires);
        error User();
        error Organisation();
        error Industry();
        error Country();
        error Purpose();
        error AccessTimes(uint32 accessTimes);
        error RequestTaken();
        error UnknownAccess();
        error Consumer();
        error UsageReports(uint32 usageReports);
        error NotSubmitter(address account);
        error NotOurs(address account);
        error WrongShare(bytes16 share);

        event PolicySet(
            bytes16 indexed share, bytes32 indexed policy, address contractAddress,
            SetPolicy call, uint64 time
        );
        event AccessGranted(
            bytes16 indexed share, bytes32 indexed request, bytes32 indexed consumer,
            RequestAccess call, uint32 access, uint64 time
        );
        event UsageRecorded(
            bytes16 indexed share, bytes32 indexed request, bytes32 indexed report,
            RecordUsage call, uint64 time
        );

        function setPolicy(SetPolicy calldata call)
            external returns (address contractAddress, uint64 time, bool repeated);
        function recordUsage(RecordUsage calldata call)
            external returns (uint64 time, bool repeated);
        function accessOf(bytes32 request) external view returns (uint32 access, uint64 time);
        function submitter() external view returns (address);
        function owner() external view returns (address);
        function replaceSubmitter(address account) external;
        function implementation() external view returns (address);
        function contractVersion() external view returns (uint32);
    }

    #[derive(Debug)]
    interface Share {
        function requestAccess(RequestAccess calldata call)
            external returns (uint32 access, uint64 time, bool repeated);
        function granted(bytes32 consumer) external view returns (uint32);
    }
}
