// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatapact, IDatapactShare} from "../src/IDatapact.sol";
import {Base} from "./Base.sol";

/// @notice Calls the contract in any order with any arguments and keeps its own books.
contract Caller is Base {
    uint32 public version;
    bool public revoked;
    bool public suspended;
    bytes32 public digest;
    mapping(uint256 consumer => uint32) public had;
    mapping(bytes32 request => uint32) public accessOf;
    mapping(bytes32 request => uint256) public timeOf;
    mapping(bytes32 request => uint256) public consumerOf;
    mapping(bytes32 request => bytes32) public acceptedOf;
    mapping(bytes32 request => uint32) public reports;
    mapping(bytes32 report => bool) public reported;
    bytes32[] public requests;
    uint32 public times;

    constructor() {
        prepare();
        registry.setPolicy(policy(1));
        (version, times) = (1, 3);
    }

    function commitment(uint256 consumer) public pure returns (bytes32) {
        return keccak256(abi.encode("consumer", consumer % 3));
    }

    function wait(uint16 seconds_) external {
        vm.warp(block.timestamp + (seconds_ < 65000 ? seconds_ % 600 : seconds_));
    }

    /// @notice A version, a predecessor and an owner that are right, or not.
    function succeed(uint8 state, uint8 accessTimes, uint8 wrong, uint32 other) external {
        IDatapact.SetPolicy memory call = policy(version + 1);
        // Half of the shares would be revoked at once otherwise.
        call.state = IDatapact.ShareState(state < 250 ? state % 2 : 2);
        call.accessTimes = uint32(accessTimes % 5) + 1;
        bool right = !revoked;
        if (wrong % 8 == 1 && other != call.version) (call.version, right) = (other, false);
        if (wrong % 8 == 2) (call.previous, right) = (bytes32(uint256(other)), false);
        if (wrong % 8 == 3) (call.owner, right) = (keccak256(abi.encode(other)), false);
        try registry.setPolicy(call) returns (address, uint64 time, bool repeated) {
            assert(right && !repeated && time == block.timestamp);
            version++;
            times = call.accessTimes;
            revoked = call.state == IDatapact.ShareState.Revoked;
            suspended = call.state == IDatapact.ShareState.Suspended;
        } catch {
            assert(!right);
        }
    }

    function request(uint256 consumer, uint16 number, uint8 wrong) external {
        bytes32 name = keccak256(abi.encode("request", number % 64));
        bytes32 accepts = wrong % 8 == 1 ? bytes32(uint256(1)) : id(version);
        consumer %= 3;
        bool known = accessOf[name] != 0;
        bool same = known && consumerOf[name] == consumer && acceptedOf[name] == accepts;
        bool right = !revoked && !suspended && accepts == id(version) && block.timestamp >= BEGIN
            && block.timestamp < END && had[consumer] < times;
        try share().requestAccess(ask(accepts, name, commitment(consumer))) returns (
            uint32 access, uint64 time, bool repeated
        ) {
            if (known) {
                assert(same && repeated && access == accessOf[name] && time == timeOf[name]);
                return;
            }
            assert(right && !repeated && access == had[consumer] + 1 && time == block.timestamp);
            had[consumer] = access;
            (accessOf[name], timeOf[name], consumerOf[name]) = (access, time, consumer);
            acceptedOf[name] = accepts;
            requests.push(name);
        } catch {
            assert(known ? !same : !right);
        }
    }

    function report(uint16 number, uint16 of_, uint256 consumer, bool otherShare) external {
        bytes32 name = keccak256(abi.encode("request", of_ % 64));
        IDatapact.RecordUsage memory call =
            IDatapact.RecordUsage(SHARE, name, keccak256(abi.encode("report", number, of_, consumer, otherShare)), 0);
        call.consumer = commitment(consumer);
        if (otherShare) call.share = ~SHARE;
        bool again = reported[call.report];
        bool right = !otherShare && accessOf[name] != 0 && consumerOf[name] == consumer % 3;
        right = right && (again || reports[name] < 16);
        try registry.recordUsage(call) returns (uint64, bool repeated) {
            assert(right && repeated == again);
            if (again) return;
            reported[call.report] = true;
            reports[name]++;
        } catch {
            assert(!right);
        }
    }

    function strangers(address sender, uint8 state) external {
        if (sender == address(this)) return;
        IDatapact.SetPolicy memory call = policy(version + 1);
        call.state = IDatapact.ShareState(state % 3);
        vm.prank(sender);
        try registry.setPolicy(call) {
            assert(false);
        } catch {}
        address at = address(share());
        vm.prank(sender);
        try IDatapactShare(at).requestAccess(ask(id(version), bytes32(uint256(7)), commitment(0))) {
            assert(false);
        } catch {}
    }

    function check() external view {
        IDatapactShare.Kept memory kept = share().kept();
        assert(kept.version == version && kept.policy == id(version) && kept.owner == OWNER);
        assert((kept.state == IDatapact.ShareState.Revoked) == revoked);
        uint256 sum = 0;
        for (uint256 i = 0; i < 3; i++) {
            assert(share().granted(commitment(i)) == had[i]);
            sum += had[i];
        }
        assert(sum == requests.length);
        for (uint256 i = 0; i < requests.length; i++) {
            (uint32 access, uint64 time) = registry.accessOf(requests[i]);
            assert(access == accessOf[requests[i]] && time == timeOf[requests[i]]);
        }
    }
}

contract Invariants {
    Caller private caller;

    function setUp() public {
        caller = new Caller();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(caller);
    }

    /// @notice Versions rise by one, revoked is final, the owner stays, every grant counts once, records never change.
    function invariant_theBooksAgree() external view {
        caller.check();
    }
}
