"""What pyHanko says of sealed documents: one JSON line per file, {"file", "accepted", "why"}.

usage: verdicts.py ROOTS.pem FILE…
"""
import json
import sys

from pyhanko.keys import load_certs_from_pemder
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext


def verdict(path, roots):
    with open(path, "rb") as file:
        reader = PdfFileReader(file)
        signatures = reader.embedded_signatures
        if not signatures:
            return False, "no signature"
        for number, signature in enumerate(signatures, 1):
            status = validate_pdf_signature(signature, ValidationContext(trust_roots=roots, allow_fetching=False))
            if not status.bottom_line:
                return False, f"seal {number}: {status.summary()}"
        if signatures[-1].evaluate_signature_coverage() != SignatureCoverageLevel.ENTIRE_FILE:
            return False, "the last signature does not cover the whole file"
        kinds = [bool(s.timestamp_validity) for s in [status]]
        return True, "stamped" if all(kinds) else "not stamped"


def main():
    roots = list(load_certs_from_pemder([sys.argv[1]]))
    for path in sys.argv[2:]:
        try:
            accepted, why = verdict(path, roots)
        except Exception as error:  # whatever it says, it is no acceptance
            accepted, why = False, f"{type(error).__name__}: {error}"
        print(json.dumps({"file": path, "accepted": accepted, "why": why}), flush=True)


main()
