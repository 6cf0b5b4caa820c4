// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {DatapactShare} from "./DatapactShare.sol";
import {IDatapactRegistry} from "./IDatapact.sol";
import {Records} from "./Records.sol";

/// @title The registry: creates one contract for each share, keeps access and usage records, announces every change
/// @notice Its owner may replace the submitter and nothing else; no account can change code or records.
contract DatapactRegistry is IDatapactRegistry, Ownable2Step {
    using Records for bytes32;

    /// @inheritdoc IDatapactRegistry
    uint32 public constant contractVersion = 1;
    /// @notice How many usage reports of one access are recorded: each is an entry for good, and news for the provider.
    uint32 private constant USAGE_REPORTS_MAX = 16;
    /// @inheritdoc IDatapactRegistry
    address public immutable implementation;

    /// @inheritdoc IDatapactRegistry
    address public submitter;
    uint32 private shares;

    /// @inheritdoc IDatapactRegistry
    mapping(bytes16 share => uint32) public numberOf;
    mapping(bytes32 request => bytes32) private accesses;
    mapping(bytes32 report => bytes32) private usages;

    modifier onlySubmitter() {
        require(msg.sender == submitter, NotSubmitter(msg.sender));
        _;
    }

    /// @param owner who may replace the submitter
    /// @param first management's account
    constructor(address owner, address first) Ownable(owner) {
        implementation = address(new DatapactShare());
        replace(first);
    }

    /// @inheritdoc IDatapactRegistry
    function setPolicy(SetPolicy calldata call)
        external
        onlySubmitter
        returns (address contractAddress, uint64 time, bool repeated)
    {
        uint32 number = numberOf[call.share];
        if (number == 0) {
            number = ++shares;
            numberOf[call.share] = number;
            contractAddress = Clones.cloneDeterministic(implementation, bytes32(call.share));
        } else {
            contractAddress = addressOf(call.share);
        }
        (time, repeated) = DatapactShare(contractAddress).setPolicy(call, number);
        // The contract called is ours, and calls nobody.
        // slither-disable-next-line reentrancy-events
        if (!repeated) emit PolicySet(call.share, call.policy, contractAddress, call, time);
    }

    /// @inheritdoc IDatapactRegistry
    function recordUsage(RecordUsage calldata call) external onlySubmitter returns (uint64 time, bool repeated) {
        bytes32 stored = usages[call.report];
        bytes32 record = Records.ofUsage(call, uint40(block.timestamp));
        if (stored != 0) {
            require(stored.sameUsage(record), RequestTaken());
            return (stored.usageTime(), true);
        }
        bytes32 access = accesses[call.request];
        require(access != 0 && access.numberOf() == numberOf[call.share], UnknownAccess());
        require(access.isOfConsumer(call.consumer), Consumer());
        require(access.reports() < USAGE_REPORTS_MAX, UsageReports(USAGE_REPORTS_MAX));
        accesses[call.request] = access.withOneReportMore();
        usages[call.report] = record;
        time = uint64(block.timestamp);
        emit UsageRecorded(call.share, call.request, call.report, call, time);
    }

    /// @inheritdoc IDatapactRegistry
    function recordAccess(RequestAccess calldata call, uint32 access, uint32 number) external {
        require(msg.sender == addressOf(call.share), NotOurs(msg.sender));
        accesses[call.request] = Records.ofAccess(call, number, access, uint40(block.timestamp));
        emit AccessGranted(call.share, call.request, call.consumer, call, access, uint64(block.timestamp));
    }

    /// @inheritdoc IDatapactRegistry
    function replaceSubmitter(address account) external onlyOwner {
        replace(account);
    }

    /// @inheritdoc IDatapactRegistry
    function contractOf(bytes16 share) external view returns (address contractAddress, bool exists) {
        exists = numberOf[share] != 0;
        contractAddress = exists ? addressOf(share) : implementation;
    }

    /// @inheritdoc IDatapactRegistry
    function accessOf(bytes32 request) external view returns (uint32 access, uint64 time) {
        return accesses[request].accessAndTime();
    }

    /// @inheritdoc IDatapactRegistry
    function usageOf(bytes32 report) external view returns (uint64 time) {
        return usages[report].usageTime();
    }

    /// @inheritdoc IDatapactRegistry
    function lookUp(bytes32 request) external view returns (address account, bytes32 record) {
        return (submitter, accesses[request]);
    }

    function replace(address account) private {
        require(account != address(0), NotSubmitter(account));
        emit SubmitterReplaced(submitter, account);
        submitter = account;
    }

    /// @notice Where the share's own contract is, or would be. Only the registry can put a contract there.
    function addressOf(bytes16 share) private view returns (address) {
        return Clones.predictDeterministicAddress(implementation, bytes32(share));
    }
}
