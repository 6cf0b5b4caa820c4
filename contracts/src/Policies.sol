// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Codes} from "./Codes.sol";
import {IDatapact, IDatapactShare} from "./IDatapact.sol";

/// @title A policy version as it is kept: as the code of a contract that is only data, one for each version
/// @notice That is much cheaper to write and to read than storage. The code is one zero byte (STOP, so that nobody can
/// run it), then without gaps, numbers big-endian:
///
///     digest 32 | policy 32 | owner 32 | package 32 | share 16 | number 4 | version 4 | state 1 | flags 1 | accessTimes 4
///     | notBefore 5 | expires 5 | time 5 | number of users 2, organisations 2, industries 2, countries 2, purposes 2
///     | users, 32 each | organisations, 20 each | industries, 11 each | countries, 2 each | purposes, 20 each
///
/// Flags: 1 unlimited, 2 read-only. Of names, the first 20 bytes of keccak256 stand here: as strong as
/// the addresses of the ledger itself, and the most that fits with 256 values of every kind.
library Policies {
    uint256 private constant COUNTS = 174;
    uint256 private constant LISTS = 184;
    uint256 private constant VALUES_MAX = 256;
    uint256 private constant TIME_MAX = 253402300799; // 9999-12-31T23:59:59Z
    uint8 private constant UNLIMITED = 1;
    uint8 private constant READ_ONLY = 2;

    uint256 private constant USER = 32;
    uint256 private constant NAME = 20;
    uint256 private constant INDUSTRY = 11;
    uint256 private constant COUNTRY = 2;

    error NotKept();

    /// @notice What can be said against a policy without looking at the state.
    function check(IDatapact.SetPolicy calldata call) internal pure {
        require(call.version != 0, IDatapact.Malformed("versions begin at 1"));
        require(
            (call.previous != 0) == (call.version > 1),
            IDatapact.Malformed("every version but the first names its predecessor")
        );
        checkTerms(call.terms);
        require(call.unlimited == (call.accessTimes == 0), IDatapact.Malformed("access times are at least 1, or unlimited"));
        require(call.expires > call.notBefore, IDatapact.Malformed("access ends before it begins"));
        require(call.expires <= TIME_MAX, IDatapact.Malformed("the expiration time is after the year 9999"));
    }

    function checkTerms(IDatapact.Terms calldata terms) private pure {
        bool restricted = terms.users.length + terms.organisations.length + terms.industries.length
            + terms.countries.length != 0;
        require(terms.anyone != restricted, IDatapact.Malformed("either anyone or some may access"));
        checkLength(terms.users.length);
        for (uint256 i = 1; i < terms.users.length; i++) {
            checkOrder(terms.users[i] > terms.users[i - 1]);
        }
        checkNames(terms.organisations);
        checkLength(terms.industries.length);
        for (uint256 i = 0; i < terms.industries.length; i++) {
            require(Codes.isIndustry(terms.industries[i]), IDatapact.Malformed("not an industry"));
            checkOrder(i == 0 || terms.industries[i] > terms.industries[i - 1]);
        }
        checkLength(terms.countries.length);
        for (uint256 i = 0; i < terms.countries.length; i++) {
            require(Codes.isCountry(terms.countries[i]), IDatapact.Malformed("not a country"));
            checkOrder(i == 0 || terms.countries[i] > terms.countries[i - 1]);
        }
        checkNames(terms.purposes);
    }

    function checkNames(string[] calldata names) private pure {
        checkLength(names.length);
        for (uint256 i = 0; i < names.length; i++) {
            require(Codes.isName(names[i]), IDatapact.Malformed("not a name"));
            checkOrder(i == 0 || Codes.isAfter(names[i], names[i - 1]));
        }
    }

    function checkLength(uint256 length) private pure {
        require(length <= VALUES_MAX, IDatapact.Malformed("at most 256 values of a kind"));
    }

    function checkOrder(bool ascending) private pure {
        require(ascending, IDatapact.Malformed("lists are strictly ascending"));
    }

    /// @notice Keeps a policy version that was checked.
    /// @return place the contract whose code it is
    function keep(IDatapact.SetPolicy calldata call, bytes32 digest, uint32 number) internal returns (address place) {
        uint8 flags = (call.unlimited ? UNLIMITED : 0) | (call.readOnly ? READ_ONLY : 0);
        bytes memory data = abi.encodePacked(
            bytes1(0), digest, call.policy, call.owner, call.package, call.share, number, call.version, call.state, flags
        );
        data = abi.encodePacked(
            data, call.accessTimes, uint40(call.notBefore), uint40(call.expires), uint40(block.timestamp)
        );
        data = abi.encodePacked(data, lists(call.terms));
        // Copies what follows it into the new contract's code.
        bytes memory creation = abi.encodePacked(hex"61", uint16(data.length), hex"80600a3d393df3", data);
        assembly ("memory-safe") {
            place := create(0, add(creation, 0x20), mload(creation))
        }
        require(place != address(0), NotKept());
    }

    function lists(IDatapact.Terms calldata terms) private pure returns (bytes memory data) {
        uint256 industries = terms.industries.length;
        uint256 countries = terms.countries.length;
        data = abi.encodePacked(
            uint16(terms.users.length),
            uint16(terms.organisations.length),
            uint16(industries),
            uint16(countries),
            uint16(terms.purposes.length),
            terms.users,
            hashes(terms.organisations)
        );
        bytes memory codes = new bytes(industries * INDUSTRY + countries * COUNTRY + 32); // 32: the last word's end.
        uint256 to = 0;
        for (uint256 i = 0; i < industries; i++) {
            put(codes, to, terms.industries[i]);
            to += INDUSTRY;
        }
        for (uint256 i = 0; i < countries; i++) {
            put(codes, to, terms.countries[i]);
            to += COUNTRY;
        }
        shorten(codes, to);
        data = abi.encodePacked(data, codes, hashes(terms.purposes));
    }

    function hashes(string[] calldata names) private pure returns (bytes memory data) {
        data = new bytes(names.length * NAME + 32);
        for (uint256 i = 0; i < names.length; i++) {
            put(data, i * NAME, nameHash(names[i]));
        }
        shorten(data, names.length * NAME);
    }

    function nameHash(string calldata name) private pure returns (bytes20) {
        return bytes20(keccak256(bytes(name)));
    }

    /// @notice Writes a whole word, so that `data` must go on for 32 bytes after `offset`.
    function put(bytes memory data, uint256 offset, bytes32 value) private pure {
        assembly ("memory-safe") {
            mstore(add(add(data, 0x20), offset), value)
        }
    }

    function shorten(bytes memory data, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(data, length)
        }
    }

    /// @notice What `data`, the code of a policy's contract, says.
    function parse(bytes memory data) internal pure returns (IDatapactShare.Kept memory kept) {
        kept.digest = word(data, 1);
        kept.policy = word(data, 33);
        kept.owner = word(data, 65);
        kept.package = word(data, 97);
        bytes32 numbers = word(data, 129);
        kept.share = bytes16(numbers);
        kept.number = uint32(bytes4(numbers << 128));
        kept.version = uint32(bytes4(numbers << 160));
        kept.state = IDatapact.ShareState(uint8(bytes1(numbers << 192)));
        uint8 flags = uint8(bytes1(numbers << 200));
        kept.unlimited = flags & UNLIMITED != 0;
        kept.readOnly = flags & READ_ONLY != 0;
        kept.accessTimes = uint32(bytes4(numbers << 208));
        bytes32 times = word(data, 159);
        kept.notBefore = uint40(bytes5(times));
        kept.expires = uint40(bytes5(times << 40));
        kept.time = uint40(bytes5(times << 80));
    }

    /// @notice An attribute that decides nothing has no business on a ledger (PR-1).
    function unasked(IDatapact.RequestAccess calldata call, bytes memory data) internal pure {
        bool more = (bytes(call.organisation).length != 0 && count(data, 1) == 0)
            || (call.industry != 0 && count(data, 2) == 0) || (call.country != 0 && count(data, 3) == 0)
            || (bytes(call.purpose).length != 0 && count(data, 4) == 0);
        require(!more, IDatapact.Malformed("the policy does not ask for that, so it must be left out"));
        require(call.industry == 0 || Codes.isIndustry(call.industry), IDatapact.Malformed("not an industry"));
    }

    /// @notice The terms: every kind that lists values must hold.
    function admits(IDatapact.RequestAccess calldata call, bytes memory data) internal pure {
        uint256 from = LISTS;
        uint256 values = count(data, 0);
        require(values == 0 || has(data, from, values, USER, call.consumer), IDatapact.User());
        from += values * USER;
        values = count(data, 1);
        require(values == 0 || hasName(data, from, values, call.organisation), IDatapact.Organisation());
        from += values * NAME;
        values = count(data, 2);
        require(values == 0 || covers(data, from, values, call.industry), IDatapact.Industry());
        from += values * INDUSTRY;
        values = count(data, 3);
        require(values == 0 || has(data, from, values, COUNTRY, call.country), IDatapact.Country());
        from += values * COUNTRY;
        values = count(data, 4);
        require(values == 0 || hasName(data, from, values, call.purpose), IDatapact.Purpose());
    }

    function count(bytes memory data, uint256 kind) private pure returns (uint256) {
        return uint16(bytes2(word(data, COUNTS + 2 * kind)));
    }

    function hasName(bytes memory data, uint256 from, uint256 values, string calldata name) private pure returns (bool) {
        return has(data, from, values, NAME, nameHash(name));
    }

    /// @notice Whether `value` is among `values` values of `width` bytes.
    function has(bytes memory data, uint256 from, uint256 values, uint256 width, bytes32 value)
        private
        pure
        returns (bool found)
    {
        uint256 unused = 256 - 8 * width;
        // A loop of few instructions: it goes through up to 256 values.
        assembly ("memory-safe") {
            let wanted := shr(unused, value)
            let at := add(add(data, 0x20), from)
            let end := add(at, mul(values, width))
            for {} lt(at, end) { at := add(at, width) } {
                if eq(shr(unused, mload(at)), wanted) {
                    found := 1
                    break
                }
            }
        }
    }

    function covers(bytes memory data, uint256 from, uint256 values, bytes11 industry) private pure returns (bool) {
        if (industry == 0) return false;
        bytes11[5] memory above = Codes.above(industry);
        for (uint256 i = 0; i < above.length; i++) {
            if (has(data, from, values, INDUSTRY, above[i])) return true;
        }
        return false;
    }

    /// @notice The word at `offset`. It may reach beyond the data, and callers drop what does.
    function word(bytes memory data, uint256 offset) private pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := mload(add(add(data, 0x20), offset))
        }
    }
}
