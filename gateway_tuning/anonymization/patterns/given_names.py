"""Common given names of several countries, in lower case. Compact on purpose: the network finds most others."""

AMBIGUOUS_NAMES = frozenset(
    """
    abby angel april august austin autumn bill brook brooke buddy carol carter chance charity charlotte
    chase chelsea christian clay cliff cole colin crystal daisy dale dallas dawn dean destiny dick don drew
    earl earnest ernest eve faith felicity ford frank franklin fern florence forest gay gene georgia ginger
    glen grace grant gray hank harmony harper heather holly hope hunter iris ivy jack jade jasmine jersey
    jesus jewel jordan joy jean june kelly kent lance lane lee leo lily lincoln logan lucky madison mark
    marina martin mason max may melody mercedes mercy miles miller mike nick norman olive opal page paige
    paris parker pat patience patty pearl penny peter piper rain ray reed rich rob robin rod rose ruby rusty
    ryder sally sandy savannah sky skip star sterling stone storm summer sydney taylor terry tom trinity
    troy tyler victor victoria violet virginia wade warren wayne will willow winter young zion alexandria
    adelaide santiago diego jose san lourdes dolores mercedes luz sol angeles asia china india israel
    ireland kenya chad cuba carolina dakota montana nevada lorraine champagne berlin milan roman sienna
    valencia vienna verona christ bishop prince baron duke king queen major judge justice dean pope ada ruby
    pascal julia crystal scala elixir swift ivy perl haskell alexa cortana siri claude oracle jenkins apache
    hudson maven travis gradle kafka django flask jasper celery sage ana bo ida jan jo kim lan li lin ming
    ng tim ty wan wei wu xi yang yi yu hong kai ken art al abel basil harry rocky randy sunny angelo nova
    aurora
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)
"""Also words, months, places, firms or languages: a name only where a surname follows."""

GIVEN_NAMES = AMBIGUOUS_NAMES | frozenset(
    """
    aaron abdul abdullah abigail abraham achim adam adrian adriana adrien agata agnes agnieszka ahmad ahmed
    aiden aisha aiko aino akira alan alain albert alberto alejandra alejandro aleksander aleksandra
    alessandra alessandro alessia alex alexander alexandra alexandre alexis alfonso alfred alfredo ali alice
    alicia alina alisa alison allison alma alvaro amanda amandine amelia amelie amina amir amit amy
    anastasia anders andrea andreas andreea andrei andres andrew andrey andrzej angela angelica angelika
    angelina angus anil anita anja anjali anke ann anna annabelle anne annette annie annika anthony antje
    antoine anton antonella antonia antonio antonios anya ari ariana arjun armin arnaud arne arthur arturo
    arun asha ashley astrid asuncion aurelie axel ayesha ayse barbara bartosz beata beate beatrice beatriz
    becky ben benedikt benjamin benoit bernard bernadette bernd bernhard bertrand beth bethany betty bianca
    birgit bjarne bjorn björn boris bradley brandon brenda brendan brian bridget brigitte britta bruno bryan
    caitlin camila camille carina carl carla carlo carlos carlotta carmen caroline cassandra catalina
    catherine cathy cecile cecilia cedric celia celine cesar chantal charles charlie chen chiara chloe chris
    christa christel christelle christina christine christoph christophe christopher chukwu cindy claire
    clara clarissa claudia claudio clement colette connor conor conrad constance constantin cornelia
    cristian cristina cristobal cynthia dagmar damian damien dan dana daniel daniela daniele danielle danuta
    dario darren dave david debbie deborah debra deepak denis denise dennis derek diana diane dieter dietmar
    dimitri dimitris dirk dmitri dmitry dominic dominik dominique donald donna dorota dorothea dorothy
    dominika doris douglas duncan dylan eduardo edward edwin eero eleanor elena eleni eli elias elin elisa
    elisabeth elise elizabeth ella ellen elke elodie eloise elsa elvira emil emilia emilie emiliano emily
    emma emmanuel emre enrico enrique eric erica erich erik erika erin ernesto esperanza esteban estelle
    esther ethan eugene eugenia eva evan evelyn ewa fabian fabien fabio fabrice farah fatih fatima fatma
    federica federico felix ferdinand fernanda fernando filip filippo fiona florian francesca francesco
    francis francisca francisco francois françois frances frederic frederik friedrich gabriel gabriela
    gabriele gareth gary gavin geoffrey george georgina georgios gerald gerard gerardo gerhard gertrud
    giacomo gianluca giorgio giovanna giovanni gisela giulia giuseppe gloria gonzalo gordon graham grazyna
    greg gregor gregory greta grzegorz guadalupe guido guillaume guillermo gunnar gunter günter gustav
    gustavo haakon hamid hamza hanna hannah hannelore hans haruki harald harold harriet hassan hector heidi
    heike heiko heinrich heinz helen helena helene helga helmut henri henrietta henrik henry herbert hermann
    hilde hiroshi holger horst howard hugo humberto hussein ian ibrahim igor ilona ilse imran ines inga inge
    ingeborg ingrid irena irene irina isaac isabel isabella isabelle ismail ivan ivana ivo izabela jackie
    jacob jacqueline jacques jaime jakob jakub james jamie jana jane janet janice janina janine janusz jari
    jason javier jeanette jeanne jeff jeffrey jelena jens jennifer jenny jeremy jerome jerzy jesper jessica
    jessie jill jim jimmy joachim joan joana joanna joanne joao joaquin jochen joe joel joelle johan johann
    johanna johannes john johnny jon jonas jonathan jorge jörg josef josefa josefina joseph josephine josh
    joshua josé juan juana juanita judith judy juha jukka jules julian juliana julie julien juliet julio
    jurgen jürgen justin justyna jutta jörn karen kari karin karina karl karla karolina karsten kate
    katarina katarzyna katharina katherine kathleen kathrin kathryn kathy katie katja katrin kazimierz keith
    kenneth kenji kerstin kevin khalid khadija kirsten kirsty kjell klara klaus konrad konstantin kristen
    kristian kristin kristina kristine krystyna krzysztof kumar kurt kyle lakshmi lara lars lasse laszlo
    laura lauren laurence laurent lea leah lena leon leonard leonardo leonor leonie leslie leticia liam
    lidia lieselotte liisa lillian linda lionel lisa lise liz lorenzo loretta lotte louis louise luc luca
    lucas lucia lucie lucien ludmila ludwig luigi luis luisa lukas lukasz lutz lydia lynn madeleine
    magdalena magnus maja malgorzata manfred manon manuel manuela marc marcel marcela marcin marco marcos
    marcus marek margaret margarita margit margot maria mariana marianne marie mariam marilyn mario marion
    marisa marius marjorie markus marlene marta martha martina martine marvin mary maryam massimo mateo
    mateusz mathias mathieu mathilde matteo matthew matthias matthieu maureen maurice mauricio maurizio
    maxime maximilian megan mehdi mehmet mei melanie melinda melissa mette mia michael michaela michal
    michel michele michelle mikael mikhail mikko milena miguel milica mirjam mirko miroslav mitchell mohamed
    mohammad mohammed moira monica monika monique morgane morten moritz muhammad mustafa nadia nadine nadja
    naomi natalia natalie natasha nathalie nathan nathaniel neil nelson nicholas nicola nicolas nicole niels
    nigel nikhil nikita nikola nikolai nikolaos nikos nils nina noah noelle nora noura nuno octavio odile
    oksana olaf ole olga oliver olivia olivier omar orlando oscar oskar osman otto owen pablo pamela paola
    paolo pascale patricia patricio patrick patrik patrizia paul paula paulette pauline paulo pavel pawel
    pedro pekka per petra philip philipp philippe phillip pia pierre pilar piotr priya priyanka rachel
    radoslaw rafael raffaele rahul rainer raj rajesh ralf ralph ramon ramona raquel raul ravi raymond
    rebecca regina reinhard reinhold renata renate rene renee ricardo riccardo richard rita robert roberta
    roberto rodrigo roger roland rolf romain romina ronald ronja rosa rosalie rosanna rosemary roswitha
    roxana roy ruben rudolf rudolph russell ruth ryan sabine sabrina saeed said salma salvador salvatore sam
    samantha samir samuel sanjay sandra sara sarah sascha sean sebastian sebastien selma serge sergei sergey
    sergio seppo shane shannon sharon sheila shirley sigrid silke silvana silvia simon simona simone sofia
    sofie solange sonia sonja sophia sophie soren søren stacey stacy stanislaw stefan stefania stefanie
    stefano steffen stella stephan stephane stephanie stephen steve steven stuart sunil susan susana susanna
    susanne suzanne sven svetlana sylvia sylvie tadeusz takashi tamara tania tanja tapio tara tatiana teresa
    tero thea theo theodor theodore theresa therese thierry thomas thorsten tiago tiffany tilman timo
    timothy tina tobias todd tomas tomasz toni tony torsten tracy trevor tristan ulla ulrich ulrike umberto
    ursula uta ute uwe vaclav valentin valentina valerie vanessa vasily vera veronica veronika veronique
    vicente vicky vijay viktor viktoria vincent vincenzo virginie vivian viviane vladimir volker waltraud
    walter wanda wendy werner wiebke wilhelm william willi willy winfried wolfgang xavier yannick yasmin
    yolanda yoshiko yuki yusuf yves yvette yvonne zachary zainab zbigniew zdenek zoe zofia zuzana åsa øyvind
    scott kelsey brianna brittany courtney derrick dustin jared jesse jessika kayla kaitlyn lindsay lindsey
    latoya marcia megan misty molly ollie rhonda ronnie shaun shawn sheryl spencer stanley sylvain theresa
    tobin trisha vernon wesley wilma yvan destiny asya luiza luís mateus thiago joão zélia inês måns björn
    åke eino aino väinö ilkka timea zoltán istván lászló ferenc gábor eszter katalin ágnes jiří petr václav
    zdeněk lenka jitka markéta tomáš ondřej paweł łukasz małgorzata agnieszka olena oleksandr dmytro
    svitlana mohan priyanka ananya aarav deepika sanjana yuto haruto sakura hana takumi minjun jisoo chidi
    ngozi kwame amara thandi sipho zanele
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)
