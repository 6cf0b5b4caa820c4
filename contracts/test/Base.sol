// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatapactRegistry} from "../src/DatapactRegistry.sol";
import {DatapactShare} from "../src/DatapactShare.sol";
import {IDatapact} from "../src/IDatapact.sol";

/// @notice What the checkers' own machine offers.
interface Vm {
    function prank(address sender) external;
    function warp(uint256 time) external;
    function store(address account, bytes32 slot, bytes32 value) external;
    function assume(bool condition) external;
}

/// @notice A registry whose submitter is this contract, and calls to bend.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes16 internal constant SHARE = bytes16(hex"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
    bytes32 internal constant OWNER = bytes32(uint256(0x01));
    uint64 internal constant BEGIN = 1800000000;
    uint64 internal constant END = 1800086400;

    DatapactRegistry internal registry;

    function prepare() internal {
        registry = new DatapactRegistry(address(0xdead), address(this));
        vm.warp(BEGIN);
    }

    function share() internal view returns (DatapactShare) {
        (address at,) = registry.contractOf(SHARE);
        return DatapactShare(at);
    }

    /// @notice Version `version` of a policy: anyone, three times.
    function policy(uint32 version) internal pure returns (IDatapact.SetPolicy memory call) {
        call.share = SHARE;
        call.version = version;
        call.previous = version == 1 ? bytes32(0) : id(version - 1);
        call.policy = id(version);
        call.owner = OWNER;
        call.terms.anyone = true;
        call.accessTimes = 3;
        call.notBefore = BEGIN;
        call.expires = END;
    }

    function id(uint32 version) internal pure returns (bytes32) {
        return keccak256(abi.encode("policy", version));
    }

    function ask(bytes32 accepts, bytes32 request, bytes32 consumer)
        internal
        pure
        returns (IDatapact.RequestAccess memory call)
    {
        call.share = SHARE;
        call.policy = accepts;
        call.request = request;
        call.consumer = consumer;
    }
}
