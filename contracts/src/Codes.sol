// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What countries, industries and names are: the twin of core's `terms.rs`
library Codes {
    /// @notice The countries of ISO 3166-1 in contract version 1: bit `26 * first + second` of 676, A is 0.
    uint256 private constant COUNTRIES_0 = 0x0340400f7818068d0015fb9fb0095c000e00d48015843f27deddbdefeedf5978;
    uint256 private constant COUNTRIES_1 = 0x9fbb3ae7fdf1510040000001538f3c400100084b25d7fffcfd4f8141f42b1d00;
    uint256 private constant COUNTRIES_2 = 0x000000000000000000000001004004080010000000004002004085570410419a;

    /// @notice Bit by ASCII code: `A-Z a-z 0-9 . _ -`.
    uint256 private constant NAME_CHARACTERS = 0x7fffffe87fffffe03ff600000000000;
    uint256 private constant NAME_LENGTH_MAX = 64;

    /// @notice The section of each division from 00 to 99, the same in ISIC Rev. 4 and NACE Rev. 2.
    bytes private constant SECTIONS =
        "-AAA-BBBBBCCCCCCCCCCCCCCCCCCCCCCCC-DEEEE-FFF-GGG-HHHHH-II-JJJJJJKKK-LMMMMMMM-NNNNNN-OPQQQ-RRRRSSSTTU";

    bytes6 private constant ISIC = "isic4:";
    bytes6 private constant NACE = "nace2:";
    bytes1 private constant NO_SECTION = "-";

    function isCountry(bytes2 code) internal pure returns (bool) {
        uint256 first = uint8(code[0]);
        uint256 second = uint8(code[1]);
        if (first < 0x41 || first > 0x5a || second < 0x41 || second > 0x5a) return false;
        uint256 bit = 26 * (first - 0x41) + second - 0x41;
        uint256 word = bit < 256 ? COUNTRIES_0 : bit < 512 ? COUNTRIES_1 : COUNTRIES_2;
        return (word >> (bit % 256)) & 1 == 1;
    }

    function isName(string calldata name) internal pure returns (bool) {
        bytes calldata text = bytes(name);
        if (text.length == 0 || text.length > NAME_LENGTH_MAX) return false;
        for (uint256 i = 0; i < text.length; i++) {
            if ((NAME_CHARACTERS >> uint8(text[i])) & 1 == 0) return false;
        }
        return true;
    }

    /// @notice Whether `name` comes after `other`; both are names.
    function isAfter(string calldata name, string calldata other) internal pure returns (bool) {
        (bytes32 head, bytes32 tail) = words(name);
        (bytes32 otherHead, bytes32 otherTail) = words(other);
        return head > otherHead || (head == otherHead && tail > otherTail);
    }

    function isIndustry(bytes11 code) internal pure returns (bool) {
        bytes6 scheme = bytes6(code);
        if (scheme != ISIC && scheme != NACE) return false;
        if (section(code) == NO_SECTION) return false;
        if (code[7] == 0) return rest(code, 8) == 0; // A section's letter.
        if (scheme == ISIC) return digitsThenZeros(code, 8, 10);
        return rest(code, 8) == 0 || (code[8] == "." && code[9] != 0 && digitsThenZeros(code, 9, 11));
    }

    /// @notice What an industry must equal one of, to be covered by it: the codes at and above it. The first three may be
    /// no industries; nothing equals these then.
    function above(bytes11 code) internal pure returns (bytes11[5] memory) {
        bytes11 letter = bytes11(bytes6(code)) | (bytes11(section(code)) >> 48);
        return [bytes11(bytes8(code)), bytes11(bytes9(code)), bytes11(bytes10(code)), code, letter];
    }

    /// @notice The section that a code lies in; `-` when it begins neither as a section nor as a division.
    function section(bytes11 code) private pure returns (bytes1) {
        bytes1 first = code[6];
        bytes1 second = code[7];
        if (second == 0) return first >= "A" && first <= "U" ? first : NO_SECTION;
        if (!isDigit(first) || !isDigit(second)) return NO_SECTION;
        return SECTIONS[10 * (uint8(first) - 0x30) + uint8(second) - 0x30];
    }

    function digitsThenZeros(bytes11 code, uint256 from, uint256 to) private pure returns (bool) {
        uint256 i = from;
        while (i < to && isDigit(code[i])) i++;
        return rest(code, i) == 0;
    }

    function isDigit(bytes1 character) private pure returns (bool) {
        return character >= "0" && character <= "9";
    }

    /// @notice The bytes from `from` on.
    function rest(bytes11 code, uint256 from) private pure returns (bytes11) {
        return code << (8 * from);
    }

    /// @notice A name in two words, zeros after it.
    function words(string calldata name) private pure returns (bytes32 head, bytes32 tail) {
        bytes calldata text = bytes(name);
        head = bytes32(text);
        if (text.length > 32) tail = bytes32(text[32:]);
    }
}
