// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatapact} from "./IDatapact.sol";

/// @title What is kept of an access and of a usage report: one word each
/// @notice The events hold the records in full; the word holds what decides about later calls. An access is, from the
/// highest byte:
///
///     access 4 | time 5 | share's number 4 | consumer 10 | reports 1 | content 8
///
/// `reports` counts the usage reports of the access; `consumer` is the beginning of the commitment, `content` that of keccak256 of what else the call says. Both serve
/// to tell a repeat from a different call of the same id; only management, whose calls they are, could look
/// for two that agree, and what it would gain is a repeat that writes nothing, or a usage report whose event names
/// another consumer than the access's. A usage report is `time 5 | content 27`.
library Records {
    uint256 private constant CONTENT_BITS = 64;
    uint256 private constant REPORTS_BITS = 8;
    uint256 private constant CONSUMER_BITS = 80;
    uint256 private constant BELOW_CONSUMER_BITS = CONTENT_BITS + REPORTS_BITS;
    uint256 private constant ONE_REPORT = 1 << CONTENT_BITS;
    uint256 private constant REPORTS = 0xff << CONTENT_BITS;

    function ofAccess(IDatapact.RequestAccess calldata call, uint32 number, uint32 access, uint40 time)
        internal
        pure
        returns (bytes32)
    {
        return bytes32((uint256(access) << 224) | (uint256(time) << 184) | identity(call, number));
    }

    /// @notice Whether `record` is of just this call.
    function isOf(bytes32 record, IDatapact.RequestAccess calldata call, uint32 number) internal pure returns (bool) {
        return (uint256(record) & ~REPORTS) << 72 == identity(call, number) << 72;
    }

    function accessAndTime(bytes32 record) internal pure returns (uint32 access, uint64 time) {
        access = uint32(uint256(record) >> 224);
        time = uint40(uint256(record) >> 184);
    }

    function numberOf(bytes32 record) internal pure returns (uint32) {
        return uint32(uint256(record) >> (CONSUMER_BITS + BELOW_CONSUMER_BITS));
    }

    /// @notice How many usage reports of the access are recorded.
    function reports(bytes32 record) internal pure returns (uint8) {
        return uint8(uint256(record) >> CONTENT_BITS);
    }

    /// @notice The access with one report more, of which there are fewer than 255.
    function withOneReportMore(bytes32 record) internal pure returns (bytes32) {
        return bytes32(uint256(record) + ONE_REPORT);
    }

    function isOfConsumer(bytes32 record, bytes32 consumer) internal pure returns (bool) {
        return bytes10(record << 104) == bytes10(consumer);
    }

    function ofUsage(IDatapact.RecordUsage calldata call, uint40 time) internal pure returns (bytes32) {
        return bytes32((uint256(time) << 216) | (uint256(keccak256(abi.encode(call))) >> 40));
    }

    /// @notice Whether two usage records are of the same call.
    function sameUsage(bytes32 record, bytes32 other) internal pure returns (bool) {
        return record << 40 == other << 40;
    }

    function usageTime(bytes32 record) internal pure returns (uint64) {
        return uint40(uint256(record) >> 216);
    }

    /// @notice Number, consumer and content in their places, without reports.
    function identity(IDatapact.RequestAccess calldata call, uint32 number) private pure returns (uint256) {
        bytes32 content =
            keccak256(abi.encode(call.policy, call.organisation, call.industry, call.country, call.purpose));
        return (uint256(number) << (CONSUMER_BITS + BELOW_CONSUMER_BITS))
            | (uint256(uint80(bytes10(call.consumer))) << BELOW_CONSUMER_BITS) | uint64(bytes8(content));
    }
}
