"""Words that customers use for one another: a question is rarely put in its answer's words."""

_GROUPS_TEXT = """
price cost fee charge rate pricing
costs charged priced
expensive dear pricey
pay paid payment payments paying
invoice bill receipt invoices bills
refund refunds reimbursement repayment
discount reduction rebate
limit maximum ceiling cap most allowance quota
limits maximums caps quotas
minimum least fewest
delete remove erase drop destroy
deleted removed erased gone
deletion removal erasure
create make build start open
created made opened built
change alter edit modify adjust switch
changed altered edited modified
update updates upgrade refresh
cancel terminate quit stop end
cancelled terminated ended stopped
cancellation termination ending
expire lapse expires lapses ends
duration period length time
days period
before earlier ahead
after afterwards later following
send deliver transmit push
sent delivered transmitted
delivery deliveries sending message messages event events
retry retries retried attempt attempts repeat repeats
fail fails failed failing failure error errors broken breaks
wrong faulty incorrect bad
works working functions runs
outage downtime incident disruption
uptime availability available
slow sluggish lagging
fast quick quickly soon
user users person people member members colleague colleagues teammate
admin administrator admins administrators owner
customer client customers clients
company firm organisation organization business
team group teams
account login profile
password passphrase credentials
locked blocked suspended banned
lock block suspend
allow allows permit permits
allowed permitted possible
forbidden prohibited disallowed
need needs require requires
needed required necessary mandatory
invite invites invitation invitations
join joins enter
leave leaves depart
role roles permission permissions right rights
access reach
key keys token tokens secret secrets
rotate rotation renew replace
region regions location locations country place
server servers host hosts machine
address addresses
store stores keep keeps hold save saved
stored kept saved retained
retention storage keeping
backup backups copy copies
export exports download downloads extract
import imports upload uploads
file files document documents attachment
setting settings option options preference configuration
configure setup set
enable activate
disable deactivate
find locate see view
show shows display displays
page pages screen
dashboard overview console
support help assistance
contact reach call write
answer answers reply replies respond response
question questions request requests query
report reports tell inform
announce notify notice warn
privacy data-protection gdpr
security safety
vulnerability bug bugs flaw hole
reward bounty payout
contract agreement terms
plan plans tier package subscription
trial test
yearly annual annually year
monthly month
weekly week
daily day
large big largest biggest
small little smallest tiny
size weight
number count many amount
first earliest initial
last final latest
often frequently
signed verified signature
header headers field fields
endpoint endpoints webhook webhooks url
topic topics subject
filter filters
project projects workspace workspaces
environment environments stage
version versions release releases
supported offered provided
support offer provide
receive receives get gets
arrive arrives come comes
connect connects link links
share shares
public open
private closed internal
free gratis
preis kosten gebühr betrag
kostet kosten bezahlt
rechnung rechnungen beleg belege
zahlen bezahlen zahlung
erstattung rückzahlung rückerstattung
rabatt nachlass
höchstens maximal maximum
grenze limit obergrenze
mindestens minimum
löschen entfernen
gelöscht entfernt
anlegen erstellen einrichten
ändern anpassen bearbeiten wechseln
kündigen beenden
kündigung beendigung
dauer frist zeitraum zeit
dauert braucht
gilt gültig
läuft gilt
ablauf ende
senden schicken zustellen
zustellung lieferung
fehler störung ausfall problem
nutzer benutzer mitglied mitglieder leute personen
kunde kunden
konto zugang login
passwort kennwort
gesperrt blockiert
sperre blockade
erlaubt möglich zulässig
brauchen benötigen
einladen einladung einladungen
rolle rollen rechte berechtigung
schlüssel token
region regionen standort ort
speichern aufbewahren
aufbewahrung speicherung
sicherung backup kopie
datei dateien dokument dokumente
einstellung einstellungen option
finden sehen
antwort antworten rückmeldung
frage fragen anfrage
melden mitteilen
vertrag vereinbarung
tarif plan paket
jährlich jahr
monatlich monat
öffnungszeiten uhrzeiten zeiten
besetzt erreichbar
adresse anschrift
"""
_GROUPS = [frozenset(line.split()) for line in _GROUPS_TEXT.strip().splitlines()]
SYNONYMS = {
    word: frozenset().union(*(group for group in _GROUPS if word in group)) - {word}
    for word in sorted(frozenset().union(*_GROUPS))
}
"""A word in lower case -> others that may stand for it in a question."""
