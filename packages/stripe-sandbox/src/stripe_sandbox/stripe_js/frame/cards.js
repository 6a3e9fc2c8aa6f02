// Client-side knowledge of cards: brands, number formats and validation.

const BRANDS = [
  { name: "amex", label: "Amex", pattern: /^3[47]/, digits: 15, cvc: 4, groups: [4, 6, 5] },
  { name: "diners", label: "Diners", pattern: /^3(0[0-5]|[689])/, digits: [14, 16], cvc: 3, groups: [4, 4, 4, 4] },
  { name: "mastercard", label: "Mastercard", pattern: /^(5[1-5]|2[2-7])/, digits: 16, cvc: 3, groups: [4, 4, 4, 4] },
  { name: "visa", label: "Visa", pattern: /^4/, digits: 16, cvc: 3, groups: [4, 4, 4, 4] },
  { name: "discover", label: "Discover", pattern: /^6(011|4[4-9]|5)/, digits: 16, cvc: 3, groups: [4, 4, 4, 4] },
  { name: "jcb", label: "JCB", pattern: /^35/, digits: 16, cvc: 3, groups: [4, 4, 4, 4] },
  { name: "unionpay", label: "UnionPay", pattern: /^62/, digits: [16, 19], cvc: 3, groups: [4, 4, 4, 4, 3] },
];
const UNKNOWN = { name: "unknown", label: "", digits: 16, cvc: 3, groups: [4, 4, 4, 4] };
const CENTURY = 2000;
const YEARS_AHEAD = 50;

// One public test number from https://docs.stripe.com/testing for each outcome of a payment.
const TEST_CARDS = [
  { label: "Pays", number: "4242424242424242" },
  { label: "Declined", number: "4000000000000002" },
  { label: "Insufficient funds", number: "4000000000009995" },
  { label: "3-D Secure", number: "4000002760003184" },
  { label: "3-D Secure, then declined", number: "4000008400001629" },
];

const MESSAGES = {
  incomplete_number: "Your card number is incomplete.",
  invalid_number: "Your card number is invalid.",
  incomplete_expiry: "Your card's expiration date is incomplete.",
  invalid_expiry_month_past: "Your card's expiration date is in the past.",
  invalid_expiry_year_past: "Your card's expiration year is in the past.",
  invalid_expiry_year: "Your card's expiration year is invalid.",
  incomplete_cvc: "Your card's security code is incomplete.",
};

const problem = (code) => ({ type: "validation_error", code, message: MESSAGES[code] });

const brandOf = (digits) => BRANDS.find((brand) => brand.pattern.test(digits)) ?? UNKNOWN;

const lengthsOf = (brand) => [brand.digits].flat();

function grouped(digits, groups) {
  const parts = [];
  let start = 0;
  for (const size of groups) {
    parts.push(digits.slice(start, start + size));
    start += size;
  }
  return parts.filter(Boolean).join(" ");
}

function passesLuhn(digits) {
  const sum = [...digits].reverse().reduce((total, digit, index) => {
    const value = Number(digit) * (index % 2 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

function checkNumber(digits) {
  const lengths = lengthsOf(brandOf(digits));
  if (!lengths.includes(digits.length)) return problem("incomplete_number");
  return passesLuhn(digits) ? null : problem("invalid_number");
}

function checkExpiry(digits) {
  if (digits.length < 4) return problem("incomplete_expiry");
  const month = Number(digits.slice(0, 2));
  const year = CENTURY + Number(digits.slice(2));
  const now = new Date();
  if (year < now.getFullYear()) return problem("invalid_expiry_year_past");
  if (year > now.getFullYear() + YEARS_AHEAD) return problem("invalid_expiry_year");
  const past = year === now.getFullYear() && month < now.getMonth() + 1;
  return past ? problem("invalid_expiry_month_past") : null;
}

function checkCvc(digits, brand) {
  return digits.length === brand.cvc ? null : problem("incomplete_cvc");
}
