"""A question about a sentence that is given in marks, in thirty languages; none of these is fitted on."""

# ruff: noqa: RUF001  texts read best unbroken, each in its own letters

from __future__ import annotations

import pytest

from slmroute import EmbeddedClassifier

ASKED = {
    "en": ("Which city is the meeting in?", "We meet on 4 May in Leeds, room 12."),
    "de": ("In welcher Stadt ist das Treffen?", "Wir treffen uns am 4. Mai in Leeds, Raum 12."),
    "fr": ("Dans quelle ville a lieu la réunion ?", " Rendez-vous le 4 mai à Lille, salle 12. "),
    "es": ("¿En qué ciudad es la reunión?", "Nos vemos el 4 de mayo en Murcia, sala 12."),
    "it": ("In che città è la riunione?", "Ci vediamo il 4 maggio a Parma, sala 12."),
    "pt": ("Em que cidade é a reunião?", "Encontramo-nos a 4 de maio em Braga, sala 12."),
    "nl": ("In welke stad is de vergadering?", "We zien elkaar op 4 mei in Breda, zaal 12."),
    "pl": ("W jakim mieście jest spotkanie?", "Widzimy się 4 maja w Radomiu, sala 12."),
    "cs": ("Ve kterém městě je schůzka?", "Sejdeme se 4. května v Brně, místnost 12."),
    "sv": ("I vilken stad är mötet?", "Vi ses den 4 maj i Lund, rum 12."),
    "fi": ("Missä kaupungissa kokous on?", "Tavataan 4. toukokuuta Turussa, huone 12."),
    "hu": ("Melyik városban lesz a találkozó?", "Május 4-én Pécsett találkozunk, 12-es terem."),
    "ro": ("În ce oraș este întâlnirea?", "Ne vedem pe 4 mai la Cluj, sala 12."),
    "el": ("Σε ποια πόλη είναι η συνάντηση;", "Συναντιόμαστε στις 4 Μαΐου στη Λάρισα, αίθουσα 12."),
    "ru": ("В каком городе встреча?", "Встречаемся 4 мая в Туле, комната 12."),
    "uk": ("У якому місті зустріч?", "Зустрічаємося 4 травня в Луцьку, кімната 12."),
    "tr": ("Toplantı hangi şehirde?", "4 Mayıs'ta Bursa'da, 12 numaralı odada buluşuyoruz."),
    "ar": ("في أي مدينة الاجتماع؟", "نلتقي في 4 مايو في طنجة، القاعة 12."),
    "he": ("באיזו עיר הפגישה?", "ניפגש ב-4 במאי בחיפה, חדר 12."),
    "fa": ("جلسه در کدام شهر است؟", "۴ مه در شیراز، اتاق ۱۲ می\u200cبینیمتان."),
    "hi": ("बैठक किस शहर में है?", "हम 4 मई को इंदौर में कमरा 12 में मिलेंगे।"),
    "bn": ("সভা কোন শহরে?", "৪ মে সিলেটে ১২ নম্বর ঘরে দেখা হবে।"),
    "ta": ("கூட்டம் எந்த நகரத்தில்?", "மே 4 அன்று மதுரையில் அறை 12-ல் சந்திப்போம்."),
    "th": ("ประชุมที่เมืองไหน?", "เจอกันวันที่ 4 พฤษภาคม ที่เชียงใหม่ ห้อง 12"),
    "vi": ("Cuộc họp ở thành phố nào?", "Chúng ta gặp nhau ngày 4 tháng 5 ở Huế, phòng 12."),
    "id": ("Rapatnya di kota mana?", "Kita bertemu 4 Mei di Bandung, ruang 12."),
    "sw": ("Mkutano uko mji gani?", "Tutakutana tarehe 4 Mei Arusha, chumba 12."),
    "zh": ("会议在哪个城市?", "我们5月4日在苏州12号房间见。"),
    "ja": ("会議はどの都市ですか?", "5月4日に仙台の12号室で会いましょう。"),
    "ko": ("회의는 어느 도시에서 하나요?", "5월 4일 대전 12호실에서 만납시다."),
}
MARKED = ["<text>\n{text}\n</text>\n{asked}", "{asked}\n```\n{text}\n```"]
ON_THE_LINE = '{asked} "{text}"'


@pytest.fixture(scope="module", params=["light", "best"])
def classifier(request: pytest.FixtureRequest) -> EmbeddedClassifier:
    return EmbeddedClassifier("best") if request.param == "best" else EmbeddedClassifier()


def kept(classifier: EmbeddedClassifier, form: str) -> int:
    """Count the questions that stay with the small model."""
    prompts = [form.format(asked=asked, text=text) for asked, text in ASKED.values()]
    return int((classifier.score_many(prompts) <= classifier.threshold).sum())


@pytest.mark.parametrize("form", MARKED)
def test_a_question_about_a_marked_text_stays_down_in_any_language(classifier: EmbeddedClassifier, form: str) -> None:
    assert kept(classifier, form) >= 28


def test_a_question_whose_text_is_quoted_on_its_own_line_stays_down(classifier: EmbeddedClassifier) -> None:
    assert kept(classifier, ON_THE_LINE) >= 20
