"use client";

import { CircleCheck, CircleX } from "lucide-react";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { deployedURL, SERVICE_NAMES, type Service } from "@/lib/api/endpoints";
import { readAddress } from "../lib/address";
import { testEndpoint, type TestResult } from "../lib/test-endpoint";

interface AddressFieldProps {
  service: Service;
  value: string;
  apiKey: string | null;
  onChange: (value: string) => void;
}

/** An address, with a button that tells whether the right service answers there. */
export function AddressField({ service, value, apiKey, onChange }: AddressFieldProps) {
  const [result, setResult] = useState<TestResult | null>(null);
  const [isTesting, setTesting] = useState(false);
  const name = SERVICE_NAMES[service];
  const { url, error } = readAddress(value);

  async function test() {
    setTesting(true);
    setResult(await testEndpoint(service, url ?? deployedURL(service), apiKey));
    setTesting(false);
  }

  return (
    <div className="flex flex-col gap-1.5">
      <Field
        label={`Address of the ${name}`}
        hint={`As started: ${deployedURL(service)}`}
        error={error ?? undefined}
        action={
          <Button variant="outline" size="sm" pending={isTesting} disabled={error !== null} onClick={() => void test()}>
            Test<span className="sr-only"> the {name}</span>
          </Button>
        }
      >
        {(control) => (
          <Input
            {...control}
            type="url"
            inputMode="url"
            autoComplete="off"
            spellCheck={false}
            placeholder={deployedURL(service)}
            value={value}
            onChange={(event) => {
              setResult(null);
              onChange(event.target.value);
            }}
          />
        )}
      </Field>
      <p role="status" className="flex items-start gap-1.5 text-xs empty:hidden">
        {result ? <Verdict {...result} /> : null}
      </p>
    </div>
  );
}

function Verdict({ isOk, message }: TestResult) {
  const Icon = isOk ? CircleCheck : CircleX;
  const tone = isOk ? "text-success" : "text-destructive";
  return (
    <>
      <Icon aria-hidden className={`mt-px size-3.5 shrink-0 ${tone}`} />
      <span className={`min-w-0 break-words ${tone}`}>{message}</span>
    </>
  );
}
