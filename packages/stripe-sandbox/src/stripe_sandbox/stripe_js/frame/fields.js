// The three inputs. Each stores its digits, formats them for display and validates them.

// Return the caret position in `text` after `count` digits.
function positionAfterDigits(text, count) {
  let seen = 0;
  let position = 0;
  while (seen < count && position < text.length) {
    if (/\d/.test(text[position])) seen += 1;
    position += 1;
  }
  return position;
}

class Field {
  constructor(name, { limit, write, check }) {
    this.name = name;
    this.input = document.getElementById(name);
    this.note = document.getElementById(`${name}-problem`);
    this.digits = "";
    this.problem = null; // the problem shown to the customer
    this.limit = limit;
    this.write = write;
    this.check = check;
  }

  // Read typed or pasted text. The caret stays after the same digit.
  read() {
    const { value, selectionStart } = this.input;
    const before = value.slice(0, selectionStart).replace(/\D/g, "").length;
    const erased = value.replace(/\D/g, "").length < this.digits.length;
    this.digits = this.normal(value).slice(0, this.limit());
    const text = this.write(this.digits, erased);
    this.input.value = text;
    const caret = selectionStart < value.length ? positionAfterDigits(text, before) : text.length;
    this.input.setSelectionRange(caret, caret);
  }

  normal(text) {
    return text.replace(/\D/g, "");
  }

  set(digits) {
    this.digits = digits;
    this.input.value = this.write(digits, false);
    this.show(null);
  }

  get empty() {
    return this.digits === "";
  }

  get wrong() {
    return this.check(this.digits);
  }

  show(found) {
    this.problem = found;
    this.input.setAttribute("aria-invalid", String(Boolean(found)));
    this.note.textContent = found?.message ?? "";
  }
}

class ExpiryField extends Field {
  // 5 becomes 05, 1 may still become 12, and some wallets fill in 12/2034.
  normal(text) {
    const [month, year] = text.split("/").map((part) => part.replace(/\D/g, ""));
    if (year !== undefined && month !== "") return month.padStart(2, "0").slice(0, 2) + (year.length === 4 ? year.slice(2) : year);
    if (/^[2-9]/.test(month)) return `0${month}`;
    return Number(month.slice(0, 2)) > 12 ? `0${month}` : month;
  }
}

function cardFields() {
  const number = new Field("number", {
    limit: () => Math.max(...lengthsOf(brandOf(number.normal(number.input.value)))),
    write: (digits) => grouped(digits, brandOf(digits).groups),
    check: checkNumber,
  });
  const expiry = new ExpiryField("expiry", {
    limit: () => 4,
    write: (digits, erased) => (digits.length > 2 || (digits.length === 2 && !erased) ? `${digits.slice(0, 2)} / ${digits.slice(2)}` : digits),
    check: checkExpiry,
  });
  const cvc = new Field("cvc", {
    limit: () => brandOf(number.digits).cvc,
    write: (digits) => digits,
    check: (digits) => checkCvc(digits, brandOf(number.digits)),
  });
  return [number, expiry, cvc];
}
