"""The words by which reports are read: findings with their names, sides, places, grades, denials and doubts.

Patterns are regular expressions over lower-case text without hyphens, with these conventions: ` | ` parts whole
alternatives, every group is one without a number, ` ~ ` stands for up to four words, {name} for one of the word lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class FindingTerm:
    """One finding: how it is called, and how much it matters to state it wrongly."""

    name: str
    harm: int  # rating, 0 to 10, of calling it present where it is absent, or the reverse
    sided: bool  # whether left and right, upper and lower tell one from another
    names: str  # a pattern
    normal: str  # a pattern of what says that it is absent without naming it; may be empty


_LISTS = {
    "lungs": r"(lungs?|lung fields?|lung parenchyma|lung bases?|airspaces?)",
    "heart": r"(heart( size| shadow| contour)?|cardiac (silhouette|size|shadow|contour)|cardiac"
    r"|cardiomediastinal (silhouette|contours?)|cardiac and mediastinal (silhouettes?|contours?)|cardiomediastinum)",
    "mediastinum": r"((superior |upper )?mediastin(um|al)( silhouette| contours?)?|cardiomediastinum)",
    "aorta": r"(aorta|aortic( arch| knob)?)",
    "trachea": r"trachea(l)?",
    "diaphragm": r"(hemi)?diaphragms?",
    "hila": r"(right |left )?hil(a|um)",
    "enlarged": r"(enlarged|dilated|increased|big|prominent|hypertrophied)",
    "enlargement": r"(enlargement|dilatation|dilation|hypertrophy)",
    "normal": r"(normal|unremarkable|within normal limits|within the normal range)",
    "healthy": r"(normal|unremarkable|healthy)",
    "opacity": r"(opacit(y|ies)|opacifications?)",
    "image": r"(chest|image|film|radiograph|x ray|study|scan|examination"
    r"|brain|liver|kidneys?|spleen|abdomen|bowel|lung)",
}

# A number: the harm. The name; `*` after it: not sided. After a colon the names, after `=` what says it is absent.
_TABLE = r"""
10 pneumothorax: (hydro)?pneumothora(x|ces|xes) | ptx | air in the pleural space | pleural air
 9 effusion: (pleural )?effusions? | pleural (fluid|collections?)( collections?)? | hydrothorax | empyemas?
   | ha?emothora(x|ces) | fluid in the pleural (space|cavity) | blunt(ing|ed) ~ costophrenic (angles?|sulc(us|i)|recess)
   | costophrenic (angles?|sulc(us|i)) ~ blunt(ed|ing) | costophrenic (angle )?blunting
   = costophrenic (angles?|sulci) ~ (sharp|clear|preserved|normal) | (sharp|clear) costophrenic (angles?|sulci)
   | pleural spaces? ~ (clear|normal)
 9 consolidation: consolidat(ions?|ive ({opacity}|changes?|process)|ed) | infiltrat(es?|ions?)
   | air ?space (diseases?|{opacity}|process(es)?|consolidations?|infiltrates?)
   | alveolar ({opacity}|infiltrates?|process)
 9 pneumonia: (broncho)?pneumoni(as?|c (process|infiltrates?|consolidations?)) | pneumonitis | aspiration
   | infect(ions?|ious (process|etiology|focus|infiltrate))
 8 atelectasis: atelecta(sis|ses|tic( changes?| lung)?) | volume loss | loss of volume
 9 collapse: (lung|lobar|lobe|segmental) collapse | collapse | collapsed | (lung|lobe) (has|is) collapsed
   | collapsed? (of )?(the )?(entire |whole )?((right|left) )?((upper|middle|lower) )?(lung|lobe)
 8 opacity: {opacity} | opacified | densit(y|ies) | haziness | shadowing | hazy( {opacity})?
   = {lungs} ~ (clear|well aerated|well expanded and clear|normal|unremarkable|healthy)
   | (clear|normal( appearing)?|healthy|unremarkable) (right |left |both )?{lungs}
 8 ground glass opacity: ground ?glass( ({opacity}|infiltrates?|pattern|changes?|nodules?|densit(y|ies)|attenuation))?
 9 edema: ((interstitial|alveolar|pulmonary|lung|perihilar|cardiogenic) ?){0,3}\b(edema|oedema)
   | (edema|oedema) of the lungs? | fluid overload | volume overload
 8 congestion*: ((pulmonary|vascular|venous|hilar|central) ?){0,3}\bcongest(ion|ed) | cephali[sz]ation | engorge(ment|d)
   | (vascular|vessels?|vasculature) (engorgement|redistribution|prominence|cephalization) | chf | heart failure
   | upper (zone|lobe) redistribution | congestive (changes?|failure|heart failure) | pulmonary venous hypertension
   | (prominent|engorged|increased|indistinct) (pulmonary )?(vascula(ture|rity)|vessels)
 9 nodule: (micro)?nodul(es?|ar( ({opacity}|densit(y|ies)|lesions?))?) | coin lesions? | nodularity
10 mass: mass(es)?( lesions?)?(?! effect) | tumou?rs? | neoplas(ms?|ia|tic) | malignan(cy|cies|t) | carcinomas?
   | cancers? | lymphomas? | gliomas? | meningiomas?
10 metastasis: metasta(sis|ses|tic( disease| lesions?)?)
 8 lesion: lesions? | patholog(y|ies|ical changes?)
 9 cavity: cavit(ary( lesions?)?|ations?|ating)
   | (?<!pelvic )(?<!thoracic )(?<!cranial )(?<!abdominal )(?<!oral )(?<!nasal )(?<!chest )(?<!body )cavit(y|ies)
 7 granuloma: granulomas? | granulomatous disease
 8 emphysema: (?<!subcutaneous )(?<!tissue )(?<!wall )(?<!mediastinal )emphysema(?! in the (soft|sub|chest))
   | emphysematous changes?
   | bulla(e|s)? | bullous (changes?|disease|lung disease) | copd
 9 subcutaneous emphysema: (subcutaneous|soft tissue|chest wall|subq) (emphysema|gas|air)
   | (emphysema|gas|air) in the (soft tissues?|subcutaneous tissues?|chest wall|neck)
 8 hyperinflation*: (hyper|over) ?(inflat|expan|aerat)(ion|sion|ed|ded) | increased lung volumes?
   | flatten(ed|ing) ~ {diaphragm} | {diaphragm} ~ flattened
 7 low lung volumes*: low (lung |inspiratory )?volumes? | (lung )?volumes? ~ (low|reduced)
   | (poor|shallow|low) inspiration
 8 interstitial change: lung markings | septal (thickening|lines) | kerley( b)? lines? | honeycombing | crazy paving
   | (interstitial|reticular|reticulonodular|bronchovascular) (lung )?(markings?|pattern|changes?|prominence|thickening)
   | interstitial (lung )?({opacity}|diseases?|abnormalit(y|ies)|process|densities) | (thickened|prominent) interstitium
 8 fibrosis: fibro(sis|tic( changes?| bands?| scarring)?) | honeycomb lung
 7 scarring: scar(s|ring)?
 8 bronchial thickening: (peri)?bronchial (wall )?(thickening|cuffing|markings|prominence|thickened) | donut sign
   | airway (wall )?thickening | thickened (bronchial|airway) walls?
 8 bronchiectasis: bronchiecta(sis|tic( changes?)?)
 8 pleural thickening: ((bi)?apical )?pleural (thickening|plaques?|scarring|calcifications?|lesions?|disease|mass(es)?)
   | pleural abnormalit(y|ies) | thickened pleura | calcified pleura(l plaques?)?
 9 lymphadenopathy: ((hilar|mediastinal|lymph) ?){0,3}\b(lymph)?adenopathy | lymph node enlargement
   | (enlarged|prominent|bulky) ((hilar|mediastinal|lymph) ){1,3}(nodes?) | (bulky|prominent|enlarged|full) {hila}
   | hilar (enlargement|prominence|fullness) | (prominence|fullness|enlargement) of the {hila}
 8 cardiomegaly*: cardiomegaly | {enlarged} (cardiac|heart|cardiomediastinal)( (silhouette|size|shadow|contours?))?
   | {heart} ~ (enlarged|dilated) | {heart} {enlargement} | {enlargement} of (the )?{heart} | increase in heart size
   | large heart | globular heart | large cardiac silhouette | prominence of the cardiac silhouette
   = {heart} ~ {normal} | (normal|unremarkable) {heart} | normal (in |sized )?heart
 9 widened mediastinum*: (widen(ing|ed)|enlarg(ed|ement)|prominen(ce|t))( of)?( the)? {mediastinum}
   | {mediastinum} (widening|enlargement) | {mediastinum} ~ (widened|enlarged)
   = {mediastinum}( and hilar)?( silhouette| contours?)? ~ {normal}
 9 pneumomediastinum*: pneumomediastinum | mediastinal (air|emphysema|gas) | air in the mediastinum | pneumopericardium
 9 pericardial effusion*: pericardial (effusions?|fluid)
10 pneumoperitoneum*: pneumoperitoneum | (intraperitoneal|subdiaphragmatic) free air
   | free (intra ?peritoneal |abdominal |subdiaphragmatic )?air( (under|below|beneath) the {diaphragm})?
 8 tracheal deviation: {trachea} ~ (deviat(ion|ed)|shift(ed)?|displace(d|ment)) | (left|right)ward trachea
   | (deviat(ion|ed)|shift(ed)?|displace(d|ment))( of)?( the)? trachea
 7 aortic calcification*: {aorta} ~ calcif(ied|ications?) | calcif(ied|ications?) ~ {aorta} | aortic atherosclerosis
   | atherosclero(sis|tic( aortic)?( calcifications?| changes?| disease)?)
   | (?<=tortuous and )calcified | (?<=tortuous and diffusely )calcified | (?<=tortuous and heavily )calcified
 7 tortuous aorta*: tortuous | tortuosity | (tortuous|ectatic|unfolded|elongated)( (and|or|but) \w+)?( thoracic)? aorta
   | {aorta} ~ (tortuous|tortuosity|ectatic|ectasia|unfolded|unfolding|elongat(ed|ion))
   | (tortuosity|unfolding|ectasia|elongation) of the (thoracic )?aorta | unfolding aorta
 9 aneurysm: aneurysms?(al dilatation)?
 8 pulmonary artery enlargement: (main |central )?pulmonary (arter(y|ies|ial)|trunk) ({enlargement}|prominence)
   | (enlarged|dilated|prominent) ((main |central )?pulmonary (arter(y|ies)|trunk)|hilar vessels)
   | hilar vessel prominence
 7 diaphragm elevation: (elevat(ed|ion)|eventration|raised)( of)?( the)?( right| left)? {diaphragm}
   | {diaphragm} ~ (elevat(ed|ion)|raised)
 8 hernia*: ((hiatal|hiatus|diaphragmatic|para ?esophageal|inguinal|umbilical|gastric|sliding) ?)*\bhernia(s|tions?)?
 9 rib fracture: ribs? ~ fractures? | fractur(es?|ed) ~ ribs?
 9 fracture: fractur(es?|ed) | compression deformit(y|ies)
   = (bones?|bony structures?|osseous structures?|skeleton) ~ (intact|unremarkable|normal)
 9 dislocation: (dis|sub)locat(ions?|ed) | sublux(ations?|ed)
 7 degenerative change*: degenerat(ive( changes?| disease| joint disease)?|ion) | osteophytes? | spondylosis
   | (osteo)?arthritis
 7 scoliosis*: scolio(sis|tic) | kyphosis

 9 endotracheal tube: (endotracheal|et|tracheal) (tube|intubation|cannula) | ett | intubated | intubation
 8 tracheostomy: trach(eostomy)?( tube| cannula)?
 8 enteric tube: dobb?hoff | ngt | ogt
   | (enteric|naso ?gastric|oro ?gastric|ng|og|feeding|gastric|dobb?hoff|naso ?enteric|naso ?jejunal|naso ?duodenal)
     (feeding )?tubes?
 8 central line: piccs? | (cvc|cvl)s? | port ?a ?caths? | mediports? | (chest wall |implanted )port | swan ganz
   | (central|central venous|peripherally inserted central|(internal )?jugular|ij|subclavian|vascular|femoral|dialysis)
     ((central|venous) ?){0,2}\b(lines?|catheters?|access)
   | (picc|tunneled|hickman|pulmonary artery|triple lumen) (lines?|catheters?)
 9 chest tube: (chest|pleurx|intercostal|thoracostomy|thoracotomy|basal)( pigtail)?( pleural)?( drainage)?
     (tubes?|drains?|catheters?)
   | pleural( pigtail)?( drainage)? (tubes?|drains?|catheters?) | pigtail( pleural)?( drainage)?( catheters?| drains?)?
 8 pacemaker: (dual|single) (chamber|lead) (device|cardiac device) | pacing device
   | (pacemakers?|pacers?|aicds?|icds?|defibrillators?|crt( ?[dp])?)( (device|generator|leads?|wires?|pack))*
   | cardioverters?( defibrillators?)?
   | (epicardial |transvenous )?pac(ing|er|emaker) (leads?|wires?|device)
 7 stimulator: (\w+ )?(neuro)?stimulators? | loop recorder | (pain|infusion|medicine|intrathecal) pump
 7 surgical material*: (surgical |skin )?(clips?|staples|sutures?) | sternotomy wires? | sternal wires? | stents?
   | hardware | median sternotomy | prosthe(sis|ses|tic \w+) | valve replacement
 9 foreign body: foreign (body|bodies|objects?) | (bullet|metallic|shrapnel) ?(fragments?)? | retained (bullets?|bbs?)
 7 device: (support |monitoring |implanted |medical |cardiac )?devices? | lines? and (tubes?|catheters?)
   | tubes? and lines? | catheters? | tubes? | drains?

10 hemorrhage: ha?emorrhag(es?|ic) | ha?ematomas? | bleed(ing|s)? | contusions?
10 infarct: infarct(s|ed|ions?)? | ischa?emi(a|c)( changes?| stroke)? | strokes?
10 midline shift: midline ~ shift(ed)? | shift of (the )?midline | mass effect
10 hydrocephalus: hydrocephalus | ventriculomegaly | (dilated|enlarged) ventricles?
10 embolism: embol(ism|us|i) | thromb(osis|us|i) | clots?
10 dissection*: dissections?
 9 obstruction*: obstruct(ions?|ed|ive) | (dilated|distended) (loops?|(small |large )?bowel) | ileus | volvulus
 9 appendicitis*: appendicitis
 8 diverticulitis: diverticul(itis|osis|ae?|um)
 8 stone: (gall|kidney |renal |ureteral )?stones? | calcul(us|i) | cholelithiasis | nephrolithiasis
 9 hydronephrosis: hydronephrosis
 9 ascites*: ascites | free fluid
 8 cyst: cyst(s|ic( lesions?)?)?
10 abscess: abscess(es)?
 7 calcification: calcif(ications?|ied) | calcinosis
 8 stenosis: sten(osis|oses|otic) | narrowing
 8 atrophy: atroph(y|ic)
 8 hepatomegaly*: hepato(spleno)?megaly | (enlarged|large) liver | liver ~ enlarged
 8 splenomegaly*: splenomegaly | (enlarged|large) spleen | spleen ~ enlarged
 8 swelling: swelling | swollen | edematous
 8 abnormality: abnormal(it(y|ies))?( findings?)?
   | acute (cardiopulmonary |intrathoracic )?(process(es)?|abnormalit(y|ies)|diseases?|findings?|patholog(y|ies))
   = {image} ~ {healthy} | {healthy} ({image}|findings?|appearance) | ^{healthy}( (study|film))?$
   | (is|are|appears?|looks?)( to be)?( (completely|entirely|quite|otherwise))? {healthy}
"""

# A general word and what it may stand for: "opacity" for a consolidation is less than precise, but not wrong.
GENERAL = {
    "opacity": {"consolidation", "pneumonia", "atelectasis", "collapse", "ground glass opacity", "nodule", "mass",
                "lesion", "interstitial change", "scarring", "fibrosis"},
    "lesion": {"nodule", "mass", "cavity", "metastasis", "cyst", "granuloma", "abscess", "infarct", "hemorrhage"},
    "fracture": {"rib fracture"},
    "calcification": {"aortic calcification"},
    "consolidation": {"pneumonia"},
    "mass": {"metastasis"},
    "atelectasis": {"collapse"},
    "device": {"endotracheal tube", "tracheostomy", "enteric tube", "central line", "chest tube", "pacemaker",
               "stimulator", "surgical material"},
}  # fmt: skip
ANYTHING = "abnormality"  # general to every finding but the devices


def covers(general: str, specific: str) -> bool:
    """Tell whether the first finding's word is a more general one for the second."""
    if general == ANYTHING:
        return specific != ANYTHING and specific not in GENERAL["device"]
    return specific in GENERAL.get(general, ())


BOTH = frozenset({"left", "right"})
SIDES = {
    r"left(ward| sided| side)?(?! (atri|ventric|heart|anterior oblique|main coronary))": frozenset({"left"}),
    r"right(ward| sided| side)?(?! (atri|ventric|heart|anterior oblique))": frozenset({"right"}),
    r"bilateral(ly)? | both(?! (the )?(seen|an?\b)) | bibasilar | bibasal | biapical | two sided | either side": BOTH,
    r"rul | rml | rll": frozenset({"right"}),
    r"lul | lll | lingular?": frozenset({"left"}),
}
PLACES = {
    r"upper | apical | apex | apices | biapical | superior | rul | lul | top | suprahilar": "upper",
    r"mid | middle | rml | lingular?": "mid",
    r"lower | basal | basilar | bases? | bibasilar | bibasal | inferior | rll | lll": "lower",
    r"costophrenic | bottom | infrahilar | retrocardiac": "lower",
    r"perihilar | hilar | hilum | hila | central(?!ly)": "hilar",
    r"peripheral | periphery": "peripheral",
    r"frontal(?! (view|radiograph|chest|and lateral|projection|film|image))": "frontal",
    r"parietal": "parietal",
    r"temporal": "temporal",
    r"occipital": "occipital",
    r"cerebell(um|ar)": "cerebellum",
    r"brain ?stem | pons | medulla": "brainstem",
    r"liver | hepatic": "liver",
    r"kidneys? | renal": "kidney",
    r"spleen | splenic": "spleen",
    r"pancreas | pancreatic": "pancreas",
    r"stomach | gastric": "stomach",
    r"duodenum": "duodenum",
    r"bladder": "bladder",
    r"carina": "carina",
    r"superior vena cava | svc": "vena cava",
    r"right atrium": "atrium",
    r"right ventricle": "ventricle",
}
SEVERITIES = {
    r"tiny | trace | minimal(ly)? | minuscule | very small | borderline | top normal | negligible": 0.5,
    r"small(?! bowel) | mild(ly)? | slight(ly)? | minor | subtle | faint | little | low grade": 1.0,
    r"modest(ly)?": 1.5,
    r"moderate(ly)?( sized)? | medium( sized)? | intermediate": 2.0,
    r"large(?! bowel)( sized)? | severe(ly)? | extensive(ly)? | marked(ly)? | massive(ly)? | substantial(ly)? | big"
    r" | considerabl[ey] | gross(ly)? | heav(y|ily) | profound | pronounced | size?able | high grade | near complete"
    r" | huge | giant": 3.0,
}
_CHANGE = r"(chang(e|ed)|increas(e|ed)|worsen(ed|ing)|improve(d|ment)|progress(ed|ion)|decreas(e|ed)|difference)"
TRENDS = {  # the first that is found counts
    rf"(no|not|without)( \w+){{0,2}} (interval )?{_CHANGE}": "same",
    r"increas(ed|es?|ing) | wors(e|en(s|ed|ing)) | progress(ed|ion|ing|ive) | larger | bigger | greater | enlarging"
    r" | grow(n|ing) | more (extensive|pronounced|prominent|severe)": "worse",
    r"decreas(ed|es?|ing) | improv(ed|es|ing|ement) | smaller | resolving | reduc(ed|tion) | less(er)?"
    r" | regress(ed|ion) | diminish(ed|ing) | partial(ly)? (cleared|resolved)": "better",
    r"unchanged | stable | similar | persist(s|ent|ing)? | again | remains? | continu(es|ed|ing) | constant"
    r" | unaltered": "same",
    r"new(ly)? | develop(ed|ing|ment) | recent(ly)?": "new",
}

NO_DENIAL = rf"""
    (no|not|without)( \w+){{0,2}} (interval )?{_CHANGE} | not only
    | not (well|fully|completely|clearly|only|appreciably|entirely) (seen|visuali[sz]ed|evaluated|assessed)
"""  # denies a change, or how well something is seen, not the finding
DENIES_BEFORE = r"""
    no | without | absen(ce|t)( of)? | free of | negative for | not | isn't | aren't | doesn't | don't | neither | nor
    | never | lack(s|ing)?( of)? | rul(e|es|ed|ing) out | exclud(e|es|ed|ing) | resolution of | clearance of
    | removal of | resolved
"""
DENIES_AFTER = r"""
    (is|are|was|were|has been|have been|being) (not|no longer|never)(?! (excluded|ruled out|entirely|completely|worse
    |well|significantly|appreciably|changed|improved|increased))
    | not (seen|identified|present|detected|visuali[sz]ed|evident|appreciated|demonstrated|found|noted|observed)
    | (is|are|was|were) (absent|excluded|ruled out|gone|removed) | no longer | resolved | absent
    | (has|have) (been )?(\w+ )?(resolved|cleared|disappeared|been removed)
"""
NOT_EXCLUDED = r"(cannot|can not|could not|not)( be)?( \w+)? (excluded?|ruled? out)"  # a doubt, not two denials
DOUBTS_BEFORE = r"""
    may | might | could | possibl[ey] | possibility of | probabl[ey] | (un)?likely | suspicious for | suspicion (of|for)
    | suspect(ed)? | concern(ing)? (for|of) | worrisome for | suggest(s|ed|ing|ive)?( of)? | question(able)?( of)?
    | presum(ed|ably) | versus | vs | either | perhaps | equivocal | potential(ly)? | doubtful | apparently
    | raises? the (possibility|question) of
"""
DOUBTS_AFTER = r"""
    (is|are) (likely|possible|suspected|probable|presumed|questioned|questionable|suggested|unlikely|doubtful|equivocal)
    | (is|are) (also )?(within|in) the differential | should be considered | (is|are|remains?) (possible|a possibility)
"""
ONLY_ASKED = r"""
    evaluat(e|ion|ing)( \w+)? (for|of) | eval for | assess(ment)?( \w+)? (for|of) | detect(ion of)? | to look for
    | history of | sensitivity (for|to) | please (assess|evaluate) | risk of | check( for)? | monitor for | s p
    | question whether | mistaken for | correlate( clinically)? (for|with) | treatment (for|of) | status post
    | surgery for
"""  # what follows was looked for, or treated; it is not said to be there
ENDS_SCOPE = r"""
    but | however | although | though | except( for)? | apart from | other than | aside from | besides | whereas | while
    | yet | which | because | despite | there (is|are|has|have|was|were) | with | otherwise | given | indicat(es?|ing)
    | (consistent|compatible) with | due to
"""
OPENS_ANEW = r"""
    the | an? | there | again | also | unchanged | stable | new | persistent | worsening | increased | improved | status
"""  # after a comma or "and": no further item of what is denied or doubted
SPEAKS_OF_ELSE = r"""
    but | however | although | though | whereas | while | because | there (is|are) | tips? | ends? | side ?ports?
    | course | position
"""  # what follows is not said of the finding before


_GAP = r"(?: (?!(?:and|or|but|with|no)\b)[\w%]+){0,4} "


def expression(pattern: str) -> str:
    """Turn a pattern into a regular expression over whole words."""
    joined = re.sub(r"\s*\n\s*(?=\|(?! ))", "", pattern.strip())
    joined = re.sub(r"\s+\|\s+", "|", re.sub(r"\s*\n\s*", " ", joined))
    listed = re.sub(r"\{([a-z]+)\}", lambda found: _LISTS[found.group(1)], joined)
    grouped = re.sub(r"\((?!\?)", "(?:", listed).replace(" ~ ", _GAP)
    return rf"\b(?:{grouped})\b"


def any_of(patterns: Iterable[str]) -> str:
    """Return the regular expression of what matches one of the patterns."""
    return "|".join(expression(pattern) for pattern in patterns)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern, once."""
    return re.compile(expression(pattern))


def has(pattern: str, text: str) -> bool:
    """Tell whether a pattern occurs in a text."""
    return bool(compiled(pattern).search(text))


def findings() -> Iterator[FindingTerm]:
    """Yield the findings of the table."""
    table = re.sub(r"\n +(?=[^\d\s])", " ", _TABLE)
    for harm, name, star, names, normal in re.findall(r"(?m)^ ?(\d+) ([\w ]+)(\*?): (.+?)(?: = (.+))?$", table):
        yield FindingTerm(name, int(harm), not star, names, normal)
