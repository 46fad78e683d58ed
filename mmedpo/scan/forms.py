"""The forms of identifiers in medical texts and of keys, as regular expressions with how sure each is.

They are for presidio, which compiles them without regard to case; `(?-i:...)` minds it.
"""

from __future__ import annotations

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d\d"
_CAPITAL = r"(?-i:\p{Lu})[^\W\d_]*(?:['’-][^\W\d_]+)*"
_PERSON = rf"{_CAPITAL}(?:,? {_CAPITAL}){{0,3}}"
_SAYS = r"\s*(?:is|was|no\.?|number|#)?\s*[:=#]?\s*"  # between the name of a thing and the thing
_WRITER = r"(?:patient|physician|operator|referring|reader|(?:read|dictated|signed|reported|verified) by)"
_STREET = r"(?-i:Street|St|Avenue|Ave|Road|Rd|Lane|Drive|Boulevard|Blvd)"
_HOSPITAL_NUMBER = (
    r"(?:MRN|medical record|patient[_ -]?(?:id|no|number)|accession|hospital (?:no|number)|case number|chart)"
)
_PASSWORD = r"(?:api[_-]?key|access[_-]?token|auth[_-]?token|secret|password|passwd)"

FORMS: dict[str, tuple[tuple[str, float], ...]] = {
    "date": (
        (rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)?[ -]{_MONTH}\.?,?[ -]{_YEAR}\b", 0.7),
        (rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}\b", 0.7),
        (r"(?<!\d)(?<!\d\.)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d|\.\d)", 0.4),
        (rf"\b(?:DOB|born(?: on)?|date of birth|birth ?date)\b{_SAYS}\d[\d./-]+\d", 0.9),
        (rf"(?:Birth|Study|Series|Acquisition|Content)Date{_SAYS}\d{{8}}\b", 0.95),
    ),
    "name": (
        (rf"\b(?-i:Dr|Mr|Mrs|Ms|Miss|Prof|Herr|Frau|Mme)\b\.?[ ]{_PERSON}", 0.75),
        (r"(?-i:(?<![\w^])\p{Lu}[\p{L}'-]+\^\p{L}[\p{L}'-]*(?:\^[\p{L}.'-]*)*)", 0.95),
        (rf"\b{_WRITER}(?:['’]?s)?(?: ?name)?\s*[:=]\s*{_PERSON}", 0.75),
        (rf"\b(?:patient|first|last|family|given|sur|full)[_ -]?name{_SAYS}{_PERSON}", 0.8),
        (rf"\b(?:Patient|Physician|Physicians|Operators|PatientBirth)Names?{_SAYS}{_PERSON}", 0.9),
    ),
    "record number": (
        (rf"\b{_HOSPITAL_NUMBER}{_SAYS}(?=[\w/-]*\d)[\w/-]{{4,}}", 0.85),
        (r"\b(?:PatientIDs?|AccessionNumber|StudyID)\W{1,4}(?=[\w/.-]*\d)[\w/.-]{3,}", 0.9),
        (r"(?<!\d)(?<!\d\.)(?:1\.2|1\.3|2\.16|2\.25)(?:\.\d+){4,}(?!\d|\.\d)", 0.8),  # of DICOM: instances and makers
    ),
    "address": (
        (rf"\b\d{{1,5}} {_CAPITAL}(?: {_CAPITAL})? {_STREET}\b", 0.7),
        (r"/(?:home|Users)/(?!runner\b|root\b|user\b)[\w.-]+", 0.3),
    ),
    "phone": (
        (r"(?<!\d)(?<!\d\.)\+\d{1,3}[ -]?(?:\(\d{1,4}\)[ -]?)?\d{2,4}(?:[ -]?\d{2,4}){1,4}(?!\d|\.\d)", 0.7),
        (rf"\b(?:phone|tel|telephone|mobile|cell|fax)\b\.?{_SAYS}[+(]?\d[\d ()/-]{{5,}}\d", 0.8),
        (r"(?<![\d.-])(?:\(\d{3}\) ?|\d{3}-)\d{3}-\d{4}(?!\d|[.-]\d)", 0.7),
    ),
    "social security number": ((rf"\b(?:SSN|social security(?: number)?){_SAYS}\d{{3}}-?\d{{2}}-?\d{{4}}\b", 0.9),),
    "e-mail": ((r"\b[\w.!#$%&'*+/=?^`{|}~-]+@\w[\w-]*(?:\.\w[\w-]*)*\.\p{L}{2,}\b", 0.9),),
    "key": (
        (r"(?-i:-----BEGIN [A-Z ]*PRIVATE KEY-----)", 1.0),
        (r"(?-i:\bAKIA[0-9A-Z]{16}\b)", 0.95),
        (r"(?-i:\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,})", 0.95),
        (r"(?-i:\b(?:ghp|gho|ghs|ghu|github_pat|glpat|hf|xox[abps]|npm|pypi)[_-][A-Za-z0-9_-]{16,})", 0.95),
        (r"(?-i:\bAIza[0-9A-Za-z_-]{35}\b)", 0.95),
        (r"(?-i:\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})", 0.95),
        (r"\bbearer [\w.~+/=-]{16,}", 0.9),
        (rf"\b{_PASSWORD}\b['\"]?\s*[:=]\s*['\"]?(?!null|none|true|false)[^\s'\",}}{{$<]{{8,}}", 0.75),
        (r"://[^/\s:@]+:[^/\s:@]{3,}@", 0.95),
    ),
}
