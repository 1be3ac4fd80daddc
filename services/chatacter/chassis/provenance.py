"""How synthetic sound and film are marked as such, machine-readably, wherever they are encoded.

Sources: EU AI Act, Article 50(2); IPTC NewsCodes "Digital Source Type", term trainedAlgorithmicMedia.
"""

from collections.abc import Mapping
from typing import Final

DIGITAL_SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATOR: Final = "chatacter"
COMMENT: Final = f"AI-generated. Digital source type: {DIGITAL_SOURCE_TYPE}"

# Written by container formats that have names of their own choice, and mapped by those that have not
# (`comment` becomes ICMT in RIFF, COMM in ID3, ©cmt in MP4).
METADATA: Final[Mapping[str, str]] = {
    "comment": COMMENT,
    "encoder": GENERATOR,
    "digital_source_type": DIGITAL_SOURCE_TYPE,
}

# Beside every answer that carries sound or film; the only mark of raw PCM.
HEADERS: Final[Mapping[str, str]] = {"x-digital-source-type": DIGITAL_SOURCE_TYPE}
