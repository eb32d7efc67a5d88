import { Section } from "@/components/app/page";
import { type Dataset } from "../api";
import { ConvertForm } from "./convert-form";
import { SplitForm } from "./split-form";

/** Other datasets that can be made of this one. */
export function ShapeTab({ dataset }: { dataset: Dataset }) {
  return (
    <div className="grid gap-8 lg:grid-cols-2">
      <Section title="Split" description="A part to train on and one to validate with. Equal rows never come into both.">
        <SplitForm dataset={dataset} />
      </Section>
      <Section title="Convert" description="The same rows in another format. The dataset itself stays as it is.">
        <ConvertForm dataset={dataset} />
      </Section>
    </div>
  );
}
