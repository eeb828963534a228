"""What the users of the fictional help desk ask, and how their questions are solved."""

from typing import NamedTuple


class Topic(NamedTuple):
    name: str
    fix: str
    steps: tuple[str, str, str]
    wordings: tuple[str, ...]


TOPICS = (
    Topic(
        "password", "You can set a new password in two minutes.",
        ("Open the sign-in page.", "Choose the forgotten password link.", "Follow the link in our message."),
        ("I forgot my password.", "How do I reset my password?", "My password is not accepted any more.",
         "I need a new password for my account."),
    ),
    Topic(
        "locked account", "Your account unlocks by itself after thirty minutes.",
        ("Wait for thirty minutes.", "Sign in with your newest password.", "Ask for a code if it still refuses."),
        ("My account is locked.", "I typed the wrong password too often and I am locked out.",
         "Why is my account blocked?", "The site says that my account is locked."),
    ),
    Topic(
        "change of e-mail", "You can change your e-mail address in your profile.",
        ("Open your profile.", "Enter the new address.", "Confirm it from both inboxes."),
        ("How can I change the e-mail address of my account?", "I have a new e-mail address.",
         "My old mailbox is gone, how do I update it?", "Please tell me how to use another e-mail address."),
    ),
    Topic(
        "closing an account", "You can delete your account and all its data yourself.",
        ("Open your profile.", "Choose to delete the account.", "Confirm within seven days."),
        ("I want to delete my account.", "How do I close my account for good?", "Please remove me and my data.",
         "Can I have my customer account erased?"),
    ),
    Topic(
        "order status", "You can follow order {order} at any time.",
        ("Open the list of your orders.", "Choose order {order}.", "Press the track button."),
        ("Where is my order {order}?", "What is the status of order {order}?", "Has order {order} been sent yet?",
         "I would like to track order {order}."),
    ),
    Topic(
        "cancelling", "Your order {order} can be cancelled until it is packed.",
        ("Open the list of your orders.", "Choose order {order}.", "Press the cancel button."),
        ("I want to cancel order {order}.", "Can I still cancel order {order}?", "Please stop my order {order}.",
         "I ordered twice, how do I cancel order {order}?"),
    ),
    Topic(
        "address change", "The delivery address of order {order} can be changed until it is packed.",
        ("Open the list of your orders.", "Choose order {order}.", "Enter the new address."),
        ("I am moving, can order {order} go to my new place?", "The address on order {order} is wrong.",
         "How do I change the delivery address of order {order}?", "Please send order {order} to another address."),
    ),
    Topic(
        "late delivery", "Your order {order} is late and we are looking for it.",
        ("Open the tracking page.", "Check the new delivery day.", "Report a delay if it has passed."),
        ("My order {order} should have been here days ago.", "The delivery of order {order} is late.",
         "Why does order {order} take so long?", "I am still waiting for order {order}."),
    ),
    Topic(
        "missing parcel", "A parcel marked as delivered is often with a neighbour.",
        ("Ask your neighbours and look at the safe place.", "Open order {order}.", "Report that nothing came."),
        ("My order {order} is marked as delivered but nothing is here.", "The parcel of order {order} is missing.",
         "The courier says delivered, but I have no order {order}.", "I never got order {order}."),
    ),
    Topic(
        "damage", "We replace your damaged {item} at no cost.",
        ("Take two photos of the {item}.", "Open the order and report a damage.", "Add the photos and send."),
        ("My {item} arrived broken.", "The {item} is damaged.", "There is a hole in the {item} I just unpacked.",
         "The {item} came with a crack, what now?"),
    ),
    Topic(
        "wrong article", "We send you the right {item} at once.",
        ("Open the order.", "Report a wrong article.", "Give the courier what you got instead."),
        ("I ordered a {item} and got something else.", "You sent the wrong {item}.",
         "This is not the {item} that I ordered.", "There was another article in the box instead of the {item}."),
    ),
    Topic(
        "return", "You can return the {item} within sixty days.",
        ("Open the order and start a return.", "Print the label.", "Drop the {item} at a parcel shop."),
        ("How do I return a {item}?", "I do not like the {item}, can I send it back?",
         "I want to return my {item}.", "What is your return policy for a {item}?"),
    ),
    Topic(
        "refund", "The refund for order {order} takes five working days.",
        ("Open the list of your refunds.", "Choose order {order}.", "Compare the date with your bank statement."),
        ("Where is my refund for order {order}?", "I sent order {order} back and have no money yet.",
         "When will order {order} be refunded?", "My refund for order {order} is still missing."),
    ),
    Topic(
        "exchange", "You can exchange the {item} for another size for free.",
        ("Open the order and start an exchange.", "Pick the new size.", "Send the {item} back with our label."),
        ("The {item} is too small.", "Can I exchange my {item} for a larger size?",
         "I need the {item} in another size.", "The size of my {item} does not fit."),
    ),
    Topic(
        "invoice", "The invoice of order {order} is in your account.",
        ("Open the list of your orders.", "Choose order {order}.", "Press the invoice button."),
        ("I need an invoice for order {order}.", "Please send me the bill for order {order}.",
         "Where can I find the invoice of order {order}?", "My accountant asks for the invoice of order {order}."),
    ),
    Topic(
        "payment", "Your payment was declined by the bank and nothing was charged.",
        ("Check the date and the limit of the card.", "Approve the payment in the app of your bank.",
         "Try to pay for the {item} again."),
        ("My card was declined for the {item}.", "The payment for my {item} does not go through.",
         "Why can I not pay for the {item}?", "The checkout refuses my card for the {item}."),
    ),
    Topic(
        "gift card", "You can use a gift card at the last step of the checkout.",
        ("Put the {item} in the basket.", "Choose to pay by gift card.", "Enter the sixteen digits."),
        ("How do I use a gift card for a {item}?", "My gift card is not accepted for the {item}.",
         "Where do I enter the gift card for a {item}?", "Can I pay for the {item} with a gift card?"),
    ),
    Topic(
        "warranty", "Your {item} has a warranty of three years.",
        ("Open the order and start a claim.", "Describe the fault of the {item}.", "Send it with our free label."),
        ("The {item} broke after a year.", "Is there a warranty on my {item}?",
         "How do I make a warranty claim for a {item}?", "My {item} stopped working, is it covered?"),
    ),
    Topic(
        "app", "The newest version of our app mends this crash.",
        ("Update the app.", "Restart the phone.", "Sign in and open the {item} again."),
        ("Your app crashes when I open the {item}.", "The app closes when I look at the {item}.",
         "Since I saved a {item} the app does not start any more.", "The app freezes with the {item} in the basket."),
    ),
    Topic(
        "newsletter", "You can leave our newsletter with one click.",
        ("Open our last newsletter.", "Press the link at its end.", "Confirm on the page that opens."),
        ("I get too many newsletters.", "How do I unsubscribe?", "Please stop the advertising mails.",
         "Take me off the mailing list."),
    ),
)  # fmt: skip
