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

# The same for formats that carry XMP: JPEG, WebP, MP4. Source: IPTC Photo Metadata Standard, "Digital Source Type".
XMP: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}" xmp:CreatorTool="{GENERATOR}"/></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="r"?>'
).encode()

# Beside every answer that carries sound or film; the only mark of raw PCM.
HEADERS: Final[Mapping[str, str]] = {"x-digital-source-type": DIGITAL_SOURCE_TYPE}
