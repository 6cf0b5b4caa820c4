// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatapactRegistry, IDatapactShare} from "./IDatapact.sol";
import {Policies} from "./Policies.sol";
import {Records} from "./Records.sol";

/// @title A share's own contract: it keeps the newest policy, decides every access and counts
/// @notice Shares' contracts are EIP-1167 clones of one that has no policy and never gets one: that one refuses as a share
/// that does not exist.
contract DatapactShare is IDatapactShare {
    using Records for bytes32;

    IDatapactRegistry private immutable REGISTRY;
    address private immutable IMPLEMENTATION;

    /// @notice The contract whose code is the newest policy; 0 in the implementation alone.
    address private policy;

    /// @inheritdoc IDatapactShare
    mapping(bytes32 consumer => uint32) public granted;

    constructor() {
        REGISTRY = IDatapactRegistry(msg.sender);
        IMPLEMENTATION = address(this);
    }

    /// @inheritdoc IDatapactShare
    function setPolicy(SetPolicy calldata call, uint32 number) external returns (uint64 time, bool repeated) {
        require(msg.sender == address(REGISTRY) && address(this) != IMPLEMENTATION, NotOurs(msg.sender));
        Policies.check(call);
        bytes32 digest = keccak256(abi.encode(call));
        if (policy == address(0)) {
            require(call.version == 1, Version(1));
        } else {
            Kept memory stored = Policies.parse(policy.code);
            if (stored.digest == digest) return (stored.time, true);
            succeeds(call, stored);
        }
        policy = Policies.keep(call, digest, number);
        return (uint64(block.timestamp), false);
    }

    function succeeds(SetPolicy calldata call, Kept memory stored) private pure {
        require(call.owner == stored.owner, Owner());
        require(stored.state != ShareState.Revoked, Revoked());
        require(stored.version != type(uint32).max, Malformed("the share has had its last version"));
        require(call.version == stored.version + 1, Version(stored.version + 1));
        require(call.previous == stored.policy, Predecessor());
    }

    /// @inheritdoc IDatapactShare
    function requestAccess(RequestAccess calldata call)
        external
        returns (uint32 access, uint64 time, bool repeated)
    {
        (address submitter, bytes32 record) = REGISTRY.lookUp(call.request);
        require(msg.sender == submitter, NotSubmitter(msg.sender));
        if (address(this) == IMPLEMENTATION) {
            require(record == 0, RequestTaken());
            revert UnknownShare();
        }
        bytes memory data = policy.code;
        Kept memory stored = Policies.parse(data);
        require(call.share == stored.share, WrongShare(call.share));
        if (record != 0) {
            // Before every other rule, so that a lost answer costs no access and is not lost when the terms change.
            require(record.isOf(call, stored.number), RequestTaken());
            (access, time) = record.accessAndTime();
            return (access, time, true);
        }
        require(stored.state != ShareState.Suspended, Suspended());
        require(stored.state != ShareState.Revoked, Revoked());
        require(call.policy == stored.policy, Superseded());
        Policies.unasked(call, data);
        require(block.timestamp >= stored.notBefore, NotYet(stored.notBefore));
        require(block.timestamp < stored.expires, Expired(stored.expires));
        Policies.admits(call, data);
        uint32 had = granted[call.consumer];
        uint32 most = stored.unlimited ? type(uint32).max : stored.accessTimes;
        require(had < most, AccessTimes(most));
        access = had + 1;
        granted[call.consumer] = access;
        REGISTRY.recordAccess(call, access, stored.number);
        return (access, uint64(block.timestamp), false);
    }

    /// @inheritdoc IDatapactShare
    function kept() external view returns (Kept memory) {
        require(policy != address(0), UnknownShare());
        return Policies.parse(policy.code);
    }

    /// @inheritdoc IDatapactShare
    function registry() external view returns (address) {
        return address(REGISTRY);
    }
}
