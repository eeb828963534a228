"""Words that decide whether part of a name may stand for the whole. Data only, folded: lower-case, no accents."""

TITLES = frozenset(
    """
    mr mrs ms miss mx dr prof professor doctor sir dame lord lady madam rev reverend father sister brother
    capt captain col colonel gen general lt lieutenant maj major sgt sergeant judge justice hon
    herr frau fraulein monsieur madame mademoiselle mme mlle signor signora signorina senor senora senorita
    don dona dhr mevr mevrouw meneer pan pani shri smt jr sr ii iii iv phd md esq dipl ing mba
    """.split()  # noqa: SIM905 - readable as words
)
"""Left out of a name, before and after it."""

PARTICLES = frozenset(
    """
    von van vom zu zur zum der den de del della dello di da do dos das du la le les lo el al ben bin bint ibn
    abu af av ter ten te op st san santa mac mc y e
    """.split()  # noqa: SIM905 - readable as words
)
"""Belong to a name and never stand for it alone."""

NOT_NAMES = frozenset(
    """
    hello hi hey dear thanks thank you regards best kind warm sincerely cheers greetings welcome sorry please
    yes no ok okay good morning afternoon evening night the a an and or of in on at to for from by with as is
    am are was were be been it its this that these those my your his her our their we they he she i me him us
    them who what when where why how which if then than but so not all any some
    hallo guten tag liebe lieber und oder bonjour bonsoir cher chere et ou hola buenos estimado estimada
    user customer client agent support team service company name account order manager admin
    monday tuesday wednesday thursday friday saturday sunday january february july august september october
    november december
    """.split()  # noqa: SIM905 - readable as words
)
"""Not part of any name, though a model may put them into one."""

COMMON = NOT_NAMES | frozenset(
    """
    able ace acre age air alley amber angel apple april arch art ash aurora autumn ball band bank bar barber
    baron bass bath bay bean bear beck bell berry bill bird bishop black blank bliss block bloom blossom blue
    bold bolt bond boon booth bow bowman box brand brave bridge bright brook brooks brown buck bud bull burn
    bush butler buck butter calm camp candy cane cannon car card carol carpenter carter case cash castle chance
    chandler chase chip christian christmas church city clay clear cliff close cloud coal coin cole cook cookie
    cooper coral cotton court craft crane crisp cross crow crown crystal cruise cup daisy dale dawn day dean
    deer dell diamond dick dollar dolly dove drake draw drew duke dusty earl east eden else england english
    eve ever every excel faith farmer fair field fields file finch fine fish fisher flag fleet flint flower
    flowers fly forest fort forth foster fountain fox frank free freeman french friend frost fuller gage gale
    garden gay gem gift gill glass glen gold golden grace grand grant gray great green grey grove guy hail hall
    ham handy happy hardy hart harmony harp hatch hay hazel head heart heath heaven held hero hill hills holiday
    holly holt home honor hood hook hope horn house hunt hunter ice iris iron island ivory ivy jack jade jasmine
    jay jean jeans jet jewel job jolly joy june just justice kay keen key keys king kit kitty knight lake lamb
    lance land lane large lark last lawn law laurel leaf lee liberty light lily lima link lily little lively
    lock london long love low lucky lush lynch mark marina marks marsh marshal martin mason master mate
    may mead meadow mellow melody mercy merry mercury mild mile miles mill miller minor mint misty mobile
    moment money moon moore moral moss mouse mount music myrtle near nail nice nick noble noon norm north oak
    ocean olive page paige pain paint pansy paris park parker parks parrot parson part patch patience patient
    peace peach pearl pen penny pepper person peter pike pine pink piper pitt place plum poet pole pond pool
    poppy port porter post potter potts power price pride prince prior prize prudence queen quick quill quiet
    rabbit rain ran rand randy raven ray read reading reed reef rice rich rid ridge ring river rivers road rob
    robin rock rod rode roger roman rome root rose ruby rule rush russet rusty sable saddle sage sailor salmon
    sandy saw school scout sea seal season see self serenity setup shade shadow sharp shell shepherd shore short
    silver singer skip sky slater slim small smart smith snow sole song south spade sparks spear spring square
    stanza star start steel step stern stone storm street strong sue summer summit sun sunny sunshine swan sweet
    swift tab tanner taylor teal temple test thatch thorn tiger till tim timber time toby token tom ton tony
    torn town trace tracy trip trinity true tucker turkey turner uncle under union unity van vale valley violet
    vine vista walker wall waiter ward warm warren water waters weaver web weed weeks welcome well wells were
    west west wheat wheeler whistle white wild will willow wills win winter wise wolf wonder wood woods word
    work worth wright yale yard york young zen zone china chile jordan georgia florence victoria virginia
    nice mobile cork bath deal sale hull orange split essen java python ruby rust swift chart grace go
    """.split()  # noqa: SIM905 - readable as words
)
"""Words of everyday English that are names as well: taken for one in capitalised form only."""
