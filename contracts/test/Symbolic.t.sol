// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatapact, IDatapactShare} from "../src/IDatapact.sol";
import {Base} from "./Base.sol";

/// @notice For all values at once: halmos proves `check_`, forge tries `testFuzz_`, the same properties.
/// To halmos any two calls may have one digest, and so be a repeat, which writes nothing. It does not read
/// a policy that has values unknown to it.
contract Symbolic is Base {
    function setUp() public {
        prepare();
        registry.setPolicy(policy(1));
    }

    /// @notice A successor is accepted if and only if version, predecessor and owner are the ones, and counts by one.
    function check_versionsAreStrict(uint32 version, bytes32 previous, bytes32 owner) public {
        IDatapact.SetPolicy memory call = policy(2);
        (call.version, call.previous, call.owner) = (version, previous, owner);
        bool right = version == 2 && previous == id(1) && owner == OWNER;
        try registry.setPolicy(call) returns (address, uint64, bool repeated) {
            assert(right || repeated);
        } catch {
            assert(!right);
            assert(share().kept().version == 1);
        }
    }

    /// @notice A consumer who had `had` accesses gets one more if and only if that is below the access times.
    function check_everyAccessCountsOnce(uint32 had, uint256 time, bytes32 consumer, bytes32 other) public {
        vm.assume(consumer != other);
        vm.store(address(share()), keccak256(abi.encode(consumer, uint256(1))), bytes32(uint256(had)));
        vm.warp(time);
        uint32 others = share().granted(other);
        try share().requestAccess(ask(id(1), bytes32(uint256(1)), consumer)) returns (uint32 access, uint64, bool) {
            assert(had < 3 && time >= BEGIN && time < END);
            assert(access == had + 1 && share().granted(consumer) == access);
            (uint32 kept,) = registry.accessOf(bytes32(uint256(1)));
            assert(kept == access);
        } catch {
            assert(!(had < 3 && time >= BEGIN && time < END));
            assert(share().granted(consumer) == had);
        }
        assert(share().granted(other) == others);
    }

    /// @notice Nothing follows a revocation, whoever signs it.
    function check_revokedIsFinal(uint32 version, bytes32 previous, bytes32 owner) public {
        IDatapact.SetPolicy memory revocation = policy(2);
        revocation.state = IDatapact.ShareState.Revoked;
        registry.setPolicy(revocation);
        IDatapact.SetPolicy memory call = policy(3);
        (call.version, call.previous, call.owner) = (version, previous, owner);
        try registry.setPolicy(call) returns (address, uint64, bool repeated) {
            assert(repeated);
        } catch {
            assert(share().kept().state == IDatapact.ShareState.Revoked);
        }
    }

    function testFuzz_versionsAreStrict(uint8 version, bool previous, bool owner) public {
        check_versionsAreStrict(version % 4, previous ? id(1) : bytes32(uint256(version)), owner ? OWNER : bytes32(0));
    }

    function testFuzz_everyAccessCountsOnce(uint8 had, uint24 later, bytes32 consumer, bytes32 other) public {
        check_everyAccessCountsOnce(had % 6, BEGIN - 10000 + later % 120000, consumer, other);
    }

    function testFuzz_revokedIsFinal(uint32 version, bytes32 previous, bytes32 owner) public {
        check_revokedIsFinal(version, previous, owner);
    }
}
